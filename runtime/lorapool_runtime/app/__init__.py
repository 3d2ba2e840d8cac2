"""A pod as an application: its parts put together, requests completed, health."""
