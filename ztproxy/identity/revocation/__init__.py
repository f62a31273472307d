"""Which certificates were revoked, by lists and responders, and how old that knowledge is."""
