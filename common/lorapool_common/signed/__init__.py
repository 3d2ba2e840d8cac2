"""Calls that say who makes them: signed, for one place, once, for a moment."""
