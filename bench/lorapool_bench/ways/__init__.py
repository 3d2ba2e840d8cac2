"""Ways to switch adapters: lorapool's and diffusers' own, for the benches to time."""
