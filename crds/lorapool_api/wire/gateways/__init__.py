"""What gateways say of themselves."""
