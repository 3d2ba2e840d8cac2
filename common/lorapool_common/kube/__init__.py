"""The Kubernetes API on plain manifests: a client, credentials, and a reflector that lists and watches."""
