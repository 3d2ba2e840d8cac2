"""The volumes of a pod, and what their files hold."""
