"""Files that no request waits for: while there are many, a process of its own brings them."""
