"""Input and output: the API server, the pods, the sources of adapters."""
