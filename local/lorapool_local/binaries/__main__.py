"""`python -m lorapool_local.binaries`: get everything now, so that nothing has to wait for it later."""

import sys

from rich.console import Console

from lorapool_local.binaries import ensure_binaries
from lorapool_local.errors import BinariesUnavailable


def main() -> None:
    console = Console()
    try:
        binaries = ensure_binaries(console)
    except BinariesUnavailable as error:
        console.print(f"lorapool: {error}", highlight=False)
        sys.exit(1)
    for path in binaries.to_json().values():
        console.print(path, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
