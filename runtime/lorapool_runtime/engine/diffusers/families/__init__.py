"""Families of base models: what differs from one to the next, as one table."""
