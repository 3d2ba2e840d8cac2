"""Bench: which pod gets a request, simulated and for real."""
