"""Tiny pipelines of families that came later, or need a part of their own."""
