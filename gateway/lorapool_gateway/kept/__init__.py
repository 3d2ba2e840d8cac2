"""What is kept of requests after their client has gone: those in the background, and their answers."""
