"""From a checked adapter file to weight deltas in one flat buffer."""
