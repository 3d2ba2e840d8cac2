"""CustomResourceDefinitions from the models."""
