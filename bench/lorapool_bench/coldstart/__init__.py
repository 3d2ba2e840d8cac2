"""Bench: a pipeline from files to memory."""
