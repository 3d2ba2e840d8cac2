"""Checks of what leaves a pool."""
