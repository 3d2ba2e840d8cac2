"""How much work a pod has, and what work takes in it, for those who choose among pods."""
