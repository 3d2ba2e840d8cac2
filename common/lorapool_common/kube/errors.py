"""What can go wrong between a client and the API server."""

from collections.abc import Collection
from typing import Final

_SCHEMA_ERRORS: Final = ("field not declared in schema", "failed to create typed patch object")


class AccessError(Exception):
    """There are no usable credentials: no kubeconfig, or one that says something else than it should."""


class ApiError(Exception):
    """The API server refused, or gave no answer.

    Attributes:
        status: HTTP status; 0 where there was no answer, or none that can be read.
        reason: the machine's word, for example `NotFound`, `Conflict`, `Invalid`.
        causes: more words of that kind.
        retry_after_s: how long the API server asks to wait before another try; 0 where it does not.
    """

    def __init__(
        self, status: int, reason: str, message: str, causes: Collection[str] = (), retry_after_s: float = 0.0
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = frozenset(causes)
        self.retry_after_s = retry_after_s

    @property
    def is_gone(self) -> bool:
        """Whether there is no such object."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        return self.status == 409

    @property
    def is_expired(self) -> bool:
        """Whether a version is too old to watch from, or a page of a list is no more: list again."""
        return self.status == 410

    @property
    def is_invalid(self) -> bool:
        """Whether the object was read and breaks a rule of its kind."""
        return self.status == 422

    @property
    def is_taken(self) -> bool:
        """Whether there is an object of that name already, which is somebody else's."""
        return (self.status, self.reason) == (409, "AlreadyExists")

    @property
    def is_refusal(self) -> bool:
        """Whether the same request will be refused again: the object itself is wrong, or nothing can be created."""
        return self.status in (400, 413, 422) or self.is_schema_error or self.is_namespace_terminating

    @property
    def is_namespace_terminating(self) -> bool:
        """Whether it was a creation in a namespace that is being deleted, which nothing undoes."""
        return "NamespaceTerminating" in self.causes

    @property
    def is_schema_error(self) -> bool:
        """A field that the kind does not have, in an object that is applied: the API server calls that its own error.

        managedfields' typed-patch error is no API status, so it comes as 500 with only its text to tell it by.
        """
        return self.status == 500 and any(mark in self.message for mark in _SCHEMA_ERRORS)
