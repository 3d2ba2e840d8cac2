"""What the node tells the API server: statuses, events, history."""
