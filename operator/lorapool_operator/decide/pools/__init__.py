"""Pools: the objects that they need, and what their statuses say."""
