"""Whose a picture is: `POST /v1/verify`."""
