"""How a 401 asks for a token (RFC 6750 §3)."""

import msgspec

from ztproxy.model import Reason, Refusal, StepUp

REALM = "ztproxy"
_NO_CREDENTIALS = f'Bearer realm="{REALM}"'.encode()
_UNAUTHORIZED = 401


def challenged(refusal: Refusal) -> Refusal:
    """The refusal with `WWW-Authenticate`; without an error code where no token was sent (§3.1). Others as they are."""
    if refusal.status != _UNAUTHORIZED:
        return refusal
    value = _NO_CREDENTIALS
    if refusal.step_up is not None:
        value += _insufficient(refusal.step_up)
    elif refusal.reason not in (Reason.TOKEN_MISSING, Reason.LOGIN_REQUIRED):
        value += f', error="invalid_token", error_description="{refusal.reason.title}"'.encode("ascii")
    return msgspec.structs.replace(refusal, fields=(*refusal.fields, (b"www-authenticate", value)))


def _insufficient(wanted: StepUp) -> bytes:
    """What a client has to ask its issuer for (RFC 9470 §3); the values were checked to be words."""
    said = ', error="insufficient_user_authentication"'
    said += f', error_description="{Reason.STEP_UP_REQUIRED.title}"'
    if wanted.acr_values:
        said += f', acr_values="{" ".join(wanted.acr_values)}"'
    if wanted.max_age is not None:
        said += f', max_age="{wanted.max_age}"'
    return said.encode("ascii")
