"""What a pool holds beside its base."""
