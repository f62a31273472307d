"""Whether a token is presented as it has to be: together with what it is bound to, and bound as is demanded.

A token that is bound to two things needs both. What a route and what an issuer demand is demanded together.
"""

from ztproxy.config.dpop import Binding
from ztproxy.model import Certificate, Reason, Refusal, Token

_WHAT = {
    "any": "a client certificate or a key of its own",
    "certificate": "a client certificate",
    "dpop": "a key that each request proves (DPoP)",
    "both": "a client certificate and a key that each request proves (DPoP)",
}


def joined(one: Binding, other: Binding) -> Binding:
    """What is demanded where both are."""
    wanted = {one, other} - {"none"}
    if len(wanted) > 1:
        wanted.discard("any")
    if "both" in wanted or len(wanted) > 1:
        return "both"
    return wanted.pop() if wanted else "none"


def objection(token: Token, certificate: Certificate | None, demanded: str, *, proven: bool) -> Refusal | None:
    """Refuse a token whose binding does not hold, or is not what is demanded; the proof itself is judged elsewhere.

    Args:
        token: verified.
        certificate: the connection's.
        demanded: what the token has to be bound to.
        proven: it came under the scheme DPoP, so with a proof (RFC 9449 §7.1).
    """
    if token.bound_to is not None and (certificate is None or certificate.fingerprint != token.bound_to):
        return Refusal(Reason.TOKEN_BINDING_MISMATCH)
    if token.bound_key is not None and not proven:
        detail = "The token is bound to a key: present it under the scheme DPoP, with a proof."
        return Refusal(Reason.TOKEN_BINDING_MISMATCH, detail)
    if token.bound_key is None and proven:
        return Refusal(Reason.TOKEN_BINDING_MISMATCH, "The token is not bound to a key, so no proof can hold for it.")
    if is_met(token, demanded):
        return None
    return Refusal(Reason.TOKEN_BINDING_REQUIRED, f"The token has to be bound to {_WHAT[demanded]}.")


def is_met(token: Token, demanded: str) -> bool:
    """Whether the token is bound to what is demanded."""
    by_certificate, by_key = token.bound_to is not None, token.bound_key is not None
    match demanded:
        case "none":
            return True
        case "any":
            return by_certificate or by_key
        case "certificate":
            return by_certificate
        case "dpop":
            return by_key
        case _:
            return by_certificate and by_key
