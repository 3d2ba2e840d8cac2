"""Whose request it is, and what that key allows."""
