"""The dialects of the gateway: Hugging Face inference and OpenAI images. Parsing is pure; routes only translate."""
