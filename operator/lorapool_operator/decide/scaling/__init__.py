"""How many pods a pool shall have, and which of them goes."""
