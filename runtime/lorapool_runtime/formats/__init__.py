"""From the bytes of an adapter file to checked facts and, for the diffusers engine, to weights."""
