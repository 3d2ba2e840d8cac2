"""`python -m lorapool_hub --root models/weights --port 8123`, then `export HF_ENDPOINT=http://127.0.0.1:8123`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from lorapool_hub.access import Access
from lorapool_hub.app import serving
from lorapool_hub.server import serve

Grants = dict[str, frozenset[str]]


def main(
    root: Annotated[Path, typer.Option(help="Every folder with a README.md below it is served.", exists=True)],
    host: str = "127.0.0.1",
    port: int = 8123,
    owner: Annotated[str, typer.Option(help="The repositories are OWNER/FOLDER.")] = "lorapool",
    private: Annotated[list[str] | None, typer.Option(help="REPO=TOKEN: only this token sees it.")] = None,
    gated: Annotated[list[str] | None, typer.Option(help="REPO=TOKEN: only this token reads its files.")] = None,
    token: Annotated[list[str] | None, typer.Option(help="The token of a user who was granted nothing.")] = None,
) -> None:
    """Serve folders as Hugging Face repositories."""
    access = Access(frozenset(token or ()), _grants(private or ()), _grants(gated or ()))
    serve(serving(root, owner, access), host, port)


def _grants(options: list[str] | tuple[()]) -> Grants:
    tokens: defaultdict[str, set[str]] = defaultdict(set)
    for option in options:
        repo, _, token = option.partition("=")
        tokens[repo].add(token)
    return {repo: frozenset(granted) for repo, granted in tokens.items()}


if __name__ == "__main__":
    typer.run(main)
