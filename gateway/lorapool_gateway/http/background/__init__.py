"""Requests in the background: their clients ask later."""
