"""Services of the plane: listeners that pass connections on to ready pods."""
