"""Client certificates: what they say, and whether they count."""
