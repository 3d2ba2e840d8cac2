"""What a path leads to: a pool in it, the short way to an endpoint."""
