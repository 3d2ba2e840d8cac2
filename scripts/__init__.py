"""What writes files of the repository from others."""
