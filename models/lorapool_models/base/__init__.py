"""The base model: architecture and training."""
