"""How a 401 asks for a token (RFC 6750 §3), and for a proof of its key (RFC 9449 §7.1)."""

import msgspec

from ztproxy.model import Reason, Refusal, StepUp

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
    fields = [(_FIELD, value.encode("ascii")) for value in _challenges(refusal, schemes)]
    if nonce is not None and schemes.proofs:
        fields.append((b"dpop-nonce", nonce.encode("ascii")))
    return msgspec.structs.replace(refusal, fields=(*refusal.fields, *fields))


def _challenges(refusal: Refusal, schemes: Schemes) -> list[str]:
    """One a scheme, the stronger first; what was wrong with the token stands with both, with the proof with its own."""
    made, reason = [], refusal.reason
    wrong = "" if reason in (Reason.TOKEN_MISSING, Reason.LOGIN_REQUIRED) else _error("invalid_token", reason)
    if refusal.step_up is not None:
        wrong = _insufficient(refusal.step_up)
    of_proof = _PROOF_ERRORS.get(reason)
    if schemes.proofs:
        error = wrong if of_proof is None else _error(of_proof, reason)
        made.append(f'DPoP realm="{REALM}", algs="{schemes.proofs}"{error}')
    if schemes.bearer:
        made.append(f'Bearer realm="{REALM}"{wrong if of_proof is None else ""}')
    return made


def _error(error: str, reason: Reason) -> str:
    return f', error="{error}", error_description="{reason.title}"'


def _insufficient(wanted: StepUp) -> str:
    """What a client has to ask its issuer for (RFC 9470 §3); the values were checked to be words."""
    said = ', error="insufficient_user_authentication"'
    said += f', error_description="{Reason.STEP_UP_REQUIRED.title}"'
    if wanted.acr_values:
        said += f', acr_values="{" ".join(wanted.acr_values)}"'
    if wanted.max_age is not None:
        said += f', max_age="{wanted.max_age}"'
    return said
