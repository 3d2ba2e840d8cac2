"""Layouts of keys in LoRA files: from a key to a module of the base."""
