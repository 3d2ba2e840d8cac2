"""In which order the adapters that a pod holds are brought."""
