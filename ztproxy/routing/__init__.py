"""Which route a host and path belong to."""
