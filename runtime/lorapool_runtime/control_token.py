"""The token of the pool's control ports, by which operator and pods know each other."""

from pathlib import Path


def read_token(file: Path) -> str:
    """The token as it is now: the Secret behind the file can be rotated. Empty where there is none."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
