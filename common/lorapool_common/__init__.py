"""What the parts share that is no API: how a process starts, listens and ends; what is taken from outside, bounded."""
