"""Large bodies of requests, on disk for as long as their requests have no answer."""
