"""Bench: seconds of a step with active adapters."""
