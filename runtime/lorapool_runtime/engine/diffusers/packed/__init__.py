"""Weights of a base that are kept packed in fewer bits."""
