"""Where it goes: connection pools, balancing and forwarding."""
