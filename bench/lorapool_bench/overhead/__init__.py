"""Bench: seconds of a step with adapters in force."""
