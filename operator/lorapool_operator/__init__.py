"""The operator: makes pods of pools, gives them their catalog of adapters, and says in status how it went."""
