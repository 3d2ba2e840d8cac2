"""Hostile requests over real sockets, against a gateway and a pod that are processes."""
