"""The dialect of OpenAI's images API."""
