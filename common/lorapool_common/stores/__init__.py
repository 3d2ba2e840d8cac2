"""Object stores: addresses of objects, signed by obstore, and fetched as any other address is."""
