"""What the pages of the API say of a route: its fields, its answers, its errors."""
