"""Adapters that count in a part of the picture."""
