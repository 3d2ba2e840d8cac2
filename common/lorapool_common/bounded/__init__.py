"""Work on untrusted input, in a process of its own with bounds of time and memory."""
