"""Adapters that are published as artifacts: in registries, and at Civitai."""
