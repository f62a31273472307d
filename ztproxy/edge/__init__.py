"""Sockets, TLS, HTTP parsing, the canonical request, and rendering of refusals."""
