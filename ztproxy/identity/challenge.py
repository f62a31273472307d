"""How a 401 asks for a token (RFC 6750 §3)."""

import msgspec

from ztproxy.model import Reason, Refusal

REALM = "ztproxy"
_NO_CREDENTIALS = f'Bearer realm="{REALM}"'.encode()
_UNAUTHORIZED = 401


def challenged(refusal: Refusal) -> Refusal:
    """The refusal with `WWW-Authenticate`; without an error code where no token was sent (§3.1). Others as they are."""
    if refusal.status != _UNAUTHORIZED:
        return refusal
    value = _NO_CREDENTIALS
    if refusal.reason is not Reason.TOKEN_MISSING:
        value += f', error="invalid_token", error_description="{refusal.reason.title}"'.encode("ascii")
    return msgspec.structs.replace(refusal, fields=(*refusal.fields, (b"www-authenticate", value)))
