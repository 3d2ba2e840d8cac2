"""What exists: pools, adapters and pods, kept in step with the API server."""
