"""What a picture was made with: who decides whether it says so, and the text that says it."""
