"""What is sent: pure, each from a seed."""
