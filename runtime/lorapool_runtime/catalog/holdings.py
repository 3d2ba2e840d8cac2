"""Which adapters of the catalog this pod holds: brought before anybody asks. The others come with a request."""


class Holdings:
    """Lives on the event loop. Until somebody says what the pod holds, it holds all.

    Attributes:
        keys: None: all.
        in_memory: whether they are brought to host memory too, as far as it has room.
    """

    def __init__(self) -> None:
        self.keys: frozenset[str] | None = None
        self.in_memory = False

    def __contains__(self, key: str) -> bool:
        return self.keys is None or key in self.keys

    def replace(self, keys: frozenset[str], *, in_memory: bool) -> frozenset[str]:
        """Hold these and no others; those that are new."""
        new = keys if self.keys is None else keys - self.keys
        self.keys, self.in_memory = keys, in_memory
        return new
