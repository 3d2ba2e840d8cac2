"""What is asked about pictures before they leave."""
