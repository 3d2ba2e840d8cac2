"""Which pods are to hold which adapters: what that depends on, and what each pod is told of it."""
