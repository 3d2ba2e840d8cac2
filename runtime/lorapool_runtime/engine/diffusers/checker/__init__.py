"""The checker of content that some bases bring along."""
