"""How the cache comes to know what the API server has."""
