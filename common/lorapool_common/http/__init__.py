"""HTTP on both sides: a server with limits for its clients, and bodies that are read within limits."""
