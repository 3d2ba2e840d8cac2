"""Reading a base by the model streamer of Run:ai, where a pool asks for it."""
