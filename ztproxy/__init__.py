"""A zero-trust HTTPS access proxy."""

__version__ = "0.1.0"
