"""What is kept, over HTTP: by whichever gateway has it."""
