"""A container: prepared, launched in its sandbox, probed, restarted."""
