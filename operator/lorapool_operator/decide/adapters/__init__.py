"""Adapters: who may join, what speaks against each, and what their statuses say."""
