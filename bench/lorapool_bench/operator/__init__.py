"""The operator as a process: a real API server, thousands of adapters, light pods."""
