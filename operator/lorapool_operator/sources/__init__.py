"""Where adapters and base models come from: resolved once, remembered."""
