"""Adapters that no LoraAdapter declares: what a repository is, and which of them this pod serves."""
