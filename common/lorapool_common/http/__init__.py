"""HTTP: servers with limits for clients, and answers of strangers with limits for them."""
