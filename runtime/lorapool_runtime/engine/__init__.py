"""What makes images: the contract, and the engines that keep it."""
