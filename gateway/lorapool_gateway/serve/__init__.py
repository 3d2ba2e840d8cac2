"""One request from its names to its answer, whatever the dialect."""
