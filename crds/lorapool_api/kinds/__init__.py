"""What kubectl sees: both kinds, their fields, conditions and reasons."""
