"""What the node reads of a pod: pure functions of its spec."""
