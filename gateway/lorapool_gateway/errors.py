"""What can be wrong with a request, as the gateway sees it. Only `http/` knows status codes.

GatewayError
├── BadRequest          the request itself: parameters, body, size
│   └── BodyTooLarge
├── Unauthorized        no key, or a wrong one
├── OutOfScope          the key is not for that model
├── UnknownRoute        nothing is served under that path
├── UnknownKept         no request in the background, or no picture, has that ID
├── KeptGone            it had, and is not there any more
├── UnknownModel        nothing has that name
│   └── NotOnTheHub     nor has the Hub, where a pool serves what nobody declared
├── AmbiguousModel      more than one has it
├── VersionNotServed    it is pinned to a version that there is not
├── AdapterUnavailable  it is known, and cannot be served now or at all
├── Busy                every pod's queue is full
├── RateExceeded        the key has asked for as many images as it may in a time
├── TooManyAtOnce       the key has as many requests under way as it may
├── TooManyLookups      too many repositories that nobody declared were named for the first time
├── DeadlineTooSoon     no pod would make it before its own deadline
├── NoPodReady          no pod became ready in time
├── Interrupted         its own client asked for its end
├── TimedOut            a pod did not answer in time
├── OutOfMemory         no pod's device has room for it
├── ContentRefused      the pool's checker let a picture not leave
├── NotChecked          it gave no verdict, and no picture leaves without
├── PodFailed           pods answered, but with failures
└── PictureNotSigned, PictureNotRead: in `provenance/failed.py`
"""

from collections.abc import Sequence

from lorapool_api.kinds.conditions import AnyReason, traits


class GatewayError(Exception):
    """A request that gets no image.

    Attributes:
        message: one sentence for the caller.
        transient: time may help.
        retry_after_s: when it is worth another try, as far as is known.
        should_retry: the caller may well send it again as it is; what has failed in more than one pod, or has taken
            all of its time, is not worth another try although time may help.
    """

    transient = False
    retry_after_s: float | None = None
    _should_retry: bool | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def should_retry(self) -> bool:
        return self.transient if self._should_retry is None else self._should_retry

    @should_retry.setter
    def should_retry(self, value: bool) -> None:
        self._should_retry = value


class BadRequest(GatewayError):
    """The request cannot be served as it stands; `param` names the field where one is at fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BodyTooLarge(BadRequest):
    """The body exceeds what a request may hold."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than the {limit_bytes} bytes that a request may have")


class Unauthorized(GatewayError):
    """The gateway asks for an API key, and the request has none or a wrong one."""

    def __init__(self) -> None:
        super().__init__("an API key is needed: send the header 'Authorization: Bearer <key>' with a valid one")


class OutOfScope(GatewayError):
    """There is such a model, and the caller's key is not for it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this API key is not for {name!r}")
        self.name = name


class UnknownRoute(GatewayError):
    """Nothing is served under that path."""


class UnknownKept(GatewayError):
    """Nothing that a gateway keeps for this caller has that ID."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(f"there is no {kind} {id_[:100]!r}")


class KeptGone(GatewayError):
    """It was kept, and is no longer: its time is over, others needed the room, or its gateway has ended."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(
            f"{kind} {id_[:100]!r} is gone: it was ended, its time is over, others needed the room, or the gateway "
            "that had it has ended"
        )


class UnknownModel(GatewayError):
    """No pool and no adapter has that name."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f"; did you mean {_either(near)}?" if near else ""
        super().__init__(f"no model is called {name!r}{hint}")
        self.name = name
        self.near = tuple(near)


class NotOnTheHub(UnknownModel):
    """No LoraAdapter declares it, and the Hub has no such repository either, or none that anybody may read."""

    def __init__(self, repos: Sequence[str], why: str) -> None:
        super().__init__(", ".join(repos))
        self.message = f"{self.message}, and {why}"


class AmbiguousModel(GatewayError):
    """More than one has that name, each under a full name of its own."""

    def __init__(self, name: str, choices: Sequence[str]) -> None:
        super().__init__(f"{name!r} names more than one model; say which: {', '.join(choices)}")
        self.name = name
        self.choices = tuple(choices)


class VersionNotServed(GatewayError):
    """The adapter has no version, or more than one, that is what was pinned; the message lists those that it has."""

    def __init__(self, key: str, pin: str, versions: Sequence[str]) -> None:
        there = ", ".join(versions) or "none that a pod has read"
        super().__init__(f"adapter {key} has no single version {pin[:100]}; there is {there}")
        self.key = key
        self.versions = tuple(versions)


class AdapterUnavailable(GatewayError):
    """The adapter exists but is not served, for the reason that its condition gives."""

    def __init__(self, key: str, reason: AnyReason, message: str, transient: bool | None = None) -> None:
        super().__init__(f"adapter {key} is not served ({reason}): {message or 'no details yet'}")
        self.key = key
        self.reason = reason
        self.transient = traits(reason).is_transient if transient is None else transient


class Busy(GatewayError):
    """Every pod that could serve the request has a full queue."""

    transient = True


class RateExceeded(GatewayError):
    """The key has asked for as many images as it may in a time."""

    transient = True

    def __init__(self, rate: str, wait_s: float) -> None:
        super().__init__(f"this API key allows {rate}, images of all its requests together")
        self.retry_after_s = wait_s


class TooManyAtOnce(GatewayError):
    """The key has as many requests under way as it may."""

    transient = True

    def __init__(self, allowed: int, here: int) -> None:
        share = "" if here == allowed else f", {here} of them by this gateway"
        super().__init__(f"this API key allows {allowed} requests at once{share}: wait for one of them to end")


class TooManyLookups(GatewayError):
    """Too many repositories that nobody declared were asked for lately, for the first time."""

    transient = True
    _should_retry = False

    def __init__(self, repo: str) -> None:
        super().__init__(f"{repo} is declared by nobody, and too many such repositories were asked for this minute")


class DeadlineTooSoon(GatewayError):
    """As far as is known, no pod would make it before its own deadline."""

    transient = True


class NoPodReady(GatewayError):
    """No pod of the pool became ready while the request was held."""

    transient = True


class Interrupted(GatewayError):
    """The client that sent the request has asked for its end."""

    def __init__(self) -> None:
        super().__init__("the request was interrupted by its own client")


class TimedOut(GatewayError):
    """The pool's time for a request ran out. Sent again, it would take as long again."""

    transient = True
    _should_retry = False


class OutOfMemory(GatewayError):
    """The device of the pool's pods has no room for a request of that size; asking for less helps."""


class ContentRefused(GatewayError):
    """The pool's checker refused what was made."""


class NotChecked(GatewayError):
    """The pool's checker gave no verdict, and the pool lets no picture leave without one."""

    transient = True


class PodFailed(GatewayError):
    """The pods that were asked failed."""

    def __init__(self, message: str, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


def _either(names: Sequence[str]) -> str:
    quoted = [repr(n) for n in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
