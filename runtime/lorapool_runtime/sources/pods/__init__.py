"""Files from the other pods of the pool: who has one, and the bytes of it."""
