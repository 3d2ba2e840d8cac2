"""Parts of statuses."""
