"""A step of the small base: eager, compiled, compiled with an adapter, beside diffusers with PEFT."""
