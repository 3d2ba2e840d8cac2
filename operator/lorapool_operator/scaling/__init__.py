"""Asks the gateways how many requests there are, and keeps the number of pods of each pool with `spec.scaling`."""
