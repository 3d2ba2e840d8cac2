"""Bench: the order of the queue, simulated."""
