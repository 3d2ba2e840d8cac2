"""`lorapool doctor`: what is wrong with an installation, its pools and its adapters, and what to do."""
