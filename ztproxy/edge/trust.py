"""Whether a client certificate that was verified in a handshake still counts on its listener.

Authorities and mode of a listener may change while connections are open, and between a handshake's first and last
message: what was verified by the trust of then is judged by the trust of now.
"""

import msgspec

from ztproxy.edge.contexts import Contexts
from ztproxy.model import Certificate, Connection, Reason, Refusal

_UNTRUSTED = Refusal(
    Reason.CERTIFICATE_UNTRUSTED_HERE,
    cause="verified by an authority that the listener no longer has",
    close=True,
)
_REQUIRED = Refusal(
    Reason.CERTIFICATE_REQUIRED,
    cause="the listener has come to require a certificate since the connection began",
    close=True,
)
"""Both end the connection: only another handshake can make it better."""


def judged(certificate: Certificate | Refusal | None, contexts: Contexts) -> Certificate | Refusal | None:
    """What a client has shown, as far as the listener's authorities vouch for it."""
    if certificate is None:
        return _REQUIRED if contexts.requires else None
    if isinstance(certificate, Certificate) and contexts.authorities.isdisjoint(certificate.chain[1:]):
        return _UNTRUSTED
    return certificate


def judged_anew(connection: Connection, contexts: Contexts | None) -> Connection:
    """A connection as it stands under these contexts: another object, so that no verdict is remembered with it."""
    if contexts is None:
        return msgspec.structs.replace(connection)
    return msgspec.structs.replace(connection, unchecked_certificate=judged(connection.unchecked_certificate, contexts))
