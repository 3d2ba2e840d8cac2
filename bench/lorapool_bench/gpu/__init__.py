"""Whole pictures: their rate and their latency with many adapters, beside diffusers' ways, on a GPU or in small."""
