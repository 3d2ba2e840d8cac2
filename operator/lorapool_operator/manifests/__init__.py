"""Manifests of the objects of a pool: pure functions of the pool."""
