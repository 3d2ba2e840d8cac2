"""An adapter that is to be served in another version: what is checked of each, and when one takes over."""
