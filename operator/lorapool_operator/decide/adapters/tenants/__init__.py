"""Adapters of other namespaces than the pool's: what they may take, and what is kept for them."""
