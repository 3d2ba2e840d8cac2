"""A small SDXL-shaped base model, adapters trained on it, and the pictures they learn from."""
