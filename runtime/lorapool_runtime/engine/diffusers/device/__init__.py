"""The device: its memory, its faults, what it costs and what fits."""
