"""Which adapter the member of a stack is: pure. Operator and gateway ask the same function."""

from collections.abc import Callable

from lorapool_api.names import full_name


def member_key(name: str, namespace: str, find: Callable[[str], str | None]) -> str | None:
    """The key of the adapter; None: the pool has none of that name.

    Args:
        namespace: of the stack; an adapter of it goes before what others call so.
        find: from a name that a request may use to the key of the pool's adapter that has it.
    """
    return find(full_name(namespace, name)) or find(name)
