"""What a request costs in each pod, in seconds."""
