"""Registries of the OCI distribution specification: references, manifests and who may pull, without input or output."""
