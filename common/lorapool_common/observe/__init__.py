"""What the parts' metrics and traces have in common."""
