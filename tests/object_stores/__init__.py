"""Object stores on a loopback address that check signatures, and answer as the real ones do."""
