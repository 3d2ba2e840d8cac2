"""From the names of a request to a pool, a stack and a pod: pure."""
