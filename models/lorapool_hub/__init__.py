"""A small Hugging Face Hub for tests and the demo: real repositories from folders, and faults to order.

It speaks the part of the Hub's HTTP API that `huggingface_hub` uses to describe, list and download models.
"""
