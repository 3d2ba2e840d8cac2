"""The node: runs the pods that the scheduler binds to it as processes of this machine."""
