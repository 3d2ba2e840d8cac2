"""What pods say of an adapter's versions, and what that keeps from being served."""
