"""Bench: from one adapter to the next."""
