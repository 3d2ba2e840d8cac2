"""When the engine sleeps, and that it wakes for whoever comes."""
