"""Whether a signed token is an access token by RFC 9068: an ID token is signed by the same key, for the same people."""

from ztproxy.identity.tokens.unverified import UnverifiedToken, is_name

ACCESS = "access"
"""The kind of a token whose `typ` says `at+jwt`."""
_NAMES = ("client_id", "jti")


def lacking(token: UnverifiedToken) -> str | None:
    """What keeps it from being one (§2.1, §2.2), in a sentence; None when nothing does.

    `iss`, `sub`, `aud` and `exp` are demanded of every token; only what is added is looked at here. A token that was
    introspected is what its issuer says it is.
    """
    if not token.signed:
        return None
    if token.kind != ACCESS:
        return "The token's `typ` is not `at+jwt`: it is no access token (RFC 9068)."
    for name in _NAMES:
        if not is_name(token.claims.get(name)):
            return f"The token's `{name}` is absent or no name: an access token has it (RFC 9068)."
    return "The token's `iat` is absent: an access token has it (RFC 9068)." if "iat" not in token.claims else None
