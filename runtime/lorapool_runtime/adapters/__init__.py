"""One adapter file: its checks, without torch."""
