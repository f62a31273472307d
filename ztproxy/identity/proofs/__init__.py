"""Proofs of possession (DPoP, RFC 9449): each counts once."""
