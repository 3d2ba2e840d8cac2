"""Adapters in host memory: what reads them from disk, and what keeps them."""
