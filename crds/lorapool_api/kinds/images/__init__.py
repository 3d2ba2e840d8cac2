"""How images come to who asked for them."""
