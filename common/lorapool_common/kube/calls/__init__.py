"""Calls of the API server, as they are counted."""
