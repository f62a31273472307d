"""What keeps workload identity from being used."""


class SpiffeError(Exception):
    """An SVID or a bundle cannot be used; the message names where it is from. Nothing takes its place."""
