"""What a pool may give up exactness for."""
