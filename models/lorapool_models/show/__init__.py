"""What people see: model cards, figures, galleries."""
