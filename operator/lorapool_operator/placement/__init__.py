"""Which pods hold which adapters ahead of any request: pure."""
