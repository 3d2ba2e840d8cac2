"""How it is shown: plots and sections of the page."""
