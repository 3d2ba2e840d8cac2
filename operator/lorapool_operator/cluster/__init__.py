"""The API server: watches and lists in, objects, statuses, events and the lease out."""
