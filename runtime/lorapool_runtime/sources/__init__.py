"""From a catalog entry to a checked file on disk."""
