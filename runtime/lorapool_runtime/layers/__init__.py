"""The modules of a base model with places for adapters in them."""
