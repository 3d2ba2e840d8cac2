"""The pods: requests to them, their load, and what their failures mean."""
