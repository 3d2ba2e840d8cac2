"""The modules of a base with room for adapters."""
