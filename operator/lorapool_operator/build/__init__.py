"""Builders: pure functions from a pool to the manifests of its objects."""
