"""The pictures that models learn from, and how they are judged."""
