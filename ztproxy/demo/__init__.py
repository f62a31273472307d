"""A running example on one machine, not for production."""
