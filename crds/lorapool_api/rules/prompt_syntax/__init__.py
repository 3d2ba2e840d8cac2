"""Prompts whose words have weights: pure."""
