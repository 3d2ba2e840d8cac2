"""Who comes in at a port: asked before any route is looked for."""
