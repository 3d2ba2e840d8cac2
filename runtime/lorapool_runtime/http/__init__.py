"""The serving and the control port."""
