"""How a 401 asks for a token (RFC 6750 §3), and for a proof of its key (RFC 9449 §7.1)."""

import msgspec

from ztproxy.model import Reason, Refusal

REALM = "ztproxy"
_UNAUTHORIZED = 401
_FIELD = b"www-authenticate"
_PROOF_ERRORS = {
    Reason.PROOF_INVALID: "invalid_dpop_proof",
    Reason.PROOF_REPLAYED: "invalid_dpop_proof",
    Reason.PROOF_NONCE_REQUIRED: "use_dpop_nonce",
}


class Schemes(msgspec.Struct, frozen=True):
    """The schemes that tokens may come under."""

    bearer: bool = True
    proofs: str = ""
    """What proofs may be signed with, in the words of `algs`; empty: the scheme DPoP is not among them."""


BEARER = Schemes()


def challenged(refusal: Refusal, schemes: Schemes = BEARER, nonce: str | None = None) -> Refusal:
    """The refusal with `WWW-Authenticate`; without an error code where no token was sent (§3.1). Others as they are.

    Args:
        refusal: why no token counts.
        schemes: those that would.
        nonce: what proofs have to hold from now on.
    """
    if refusal.status != _UNAUTHORIZED:
        return refusal
    fields = [(_FIELD, value.encode("ascii")) for value in _challenges(refusal.reason, schemes)]
    if nonce is not None and schemes.proofs:
        fields.append((b"dpop-nonce", nonce.encode("ascii")))
    return msgspec.structs.replace(refusal, fields=(*refusal.fields, *fields))


def _challenges(reason: Reason, schemes: Schemes) -> list[str]:
    """One a scheme, the stronger first; what was wrong with the token stands with both, with the proof with its own."""
    made = []
    wrong = None if reason is Reason.TOKEN_MISSING else "invalid_token"
    if schemes.proofs:
        error = _PROOF_ERRORS.get(reason, wrong)
        made.append(f'DPoP realm="{REALM}", algs="{schemes.proofs}"{_told(error, reason)}')
    if schemes.bearer:
        made.append(f'Bearer realm="{REALM}"{_told(None if reason in _PROOF_ERRORS else wrong, reason)}')
    return made


def _told(error: str | None, reason: Reason) -> str:
    return "" if error is None else f', error="{error}", error_description="{reason.title}"'
