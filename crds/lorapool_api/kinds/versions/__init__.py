"""Versions of an adapter."""
