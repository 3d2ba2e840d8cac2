"""Which request comes next, and running it on the one engine thread."""
