"""Tokens for upstreams in exchange for the one that was presented (RFC 8693)."""
