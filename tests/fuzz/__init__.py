"""Hostile adapter files by the hundred thousand: `python -m tests.fuzz`."""
