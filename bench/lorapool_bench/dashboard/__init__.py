"""The Grafana dashboard: a table of panels, its JSON, and its picture from a run."""
