"""Files of a base, before anything of torch is there."""
