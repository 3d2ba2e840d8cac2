"""What gateways say: of themselves, and to pods beside a request."""
