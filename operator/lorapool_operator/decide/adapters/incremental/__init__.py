"""All adapters of a pool at once, from pass to pass: only what is another than before is decided."""
