"""Images as files, and what the files say of how they were made."""
