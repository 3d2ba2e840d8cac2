"""Parts of a request that both dialects share: pure."""
