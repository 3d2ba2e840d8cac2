"""From a catalog entry to a checked file on disk and to weights in host memory."""
