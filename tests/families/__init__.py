"""Tiny pipelines of every family that is served, with random weights of a fixed seed."""
