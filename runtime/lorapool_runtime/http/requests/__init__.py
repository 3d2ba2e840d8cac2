"""What becomes of requests for images: counted, logged, traced."""
