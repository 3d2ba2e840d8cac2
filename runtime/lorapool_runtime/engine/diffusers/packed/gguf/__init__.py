"""Denoisers in GGUF files: weights in blocks of few bits, each block with scales of its own."""
