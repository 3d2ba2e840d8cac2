"""Passes: when they run, and what one does: observe, decide, act, report."""
