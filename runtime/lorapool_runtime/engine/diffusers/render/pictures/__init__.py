"""From tensors to pictures on the host."""
