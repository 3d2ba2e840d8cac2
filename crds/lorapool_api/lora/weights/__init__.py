"""What the parts of one module say of the weight that they change."""
