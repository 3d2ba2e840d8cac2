"""What a picture is made by besides its prompt: pictures of another pass, or of its client."""
