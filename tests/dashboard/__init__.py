"""The picture of the dashboard, from a real run."""
