"""The adapters that a pod may serve: their states and tiers."""
