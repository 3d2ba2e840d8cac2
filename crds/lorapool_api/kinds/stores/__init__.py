"""Stores of objects, as sources of adapters."""
