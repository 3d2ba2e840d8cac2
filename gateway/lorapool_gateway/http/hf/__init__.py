"""The dialect of Hugging Face inference."""
