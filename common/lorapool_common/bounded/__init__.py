"""Work on what a stranger sent, in a process of its own with bounds of time and memory."""
