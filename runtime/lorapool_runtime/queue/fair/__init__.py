"""Whose turn it is: requests that wait, in an order that is fair to those who sent them."""
