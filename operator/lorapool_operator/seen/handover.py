"""What the pool that serves an adapter says of it to the pool that the adapter moves to."""

from dataclasses import dataclass

from lorapool_api.kinds.adapter import AdapterStatus


@dataclass(frozen=True)
class ServedElsewhere:
    """An adapter in the pool that it leaves.

    Attributes:
        pool: its key.
        uid: of the adapter.
        is_kept: whether the pool's pods shall have it.
        is_held: whether some pod has it, or may.
        status: how it fares there; None: nothing was said of it yet, and what stands in its status holds.
    """

    pool: str
    uid: str
    is_kept: bool = True
    is_held: bool = True
    status: AdapterStatus | None = None
