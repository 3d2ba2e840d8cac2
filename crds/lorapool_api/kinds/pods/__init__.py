"""How many pods a pool has."""
