"""The engine's thread on a CPU, once another one has computed."""
