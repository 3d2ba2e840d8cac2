"""Decisions that more than one part makes and that must come out alike: pure."""
