"""Object stores, as a pod asks them."""
