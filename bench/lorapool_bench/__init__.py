"""How fast the runtime is, beside the reference's own code. Benches report; they never fail on a slow machine."""
