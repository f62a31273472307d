"""Which workloads count on a route: SPIFFE IDs, each vouched for by the bundle of its own trust domain."""

from collections.abc import Mapping

from ztproxy.config.spiffe_ids import SCHEME, Ids
from ztproxy.model import Certificate, Reason, Refusal, Token
from ztproxy.spiffe.svid import fault_in
from ztproxy.spiffe.workload import vouches


class Workloads:
    """Those of one route.

    Args:
        vouching: by trust domain, the authorities (DER) of its bundle.
        counting: patterns of the IDs that count here.
        tokens: whether they bound JWT-SVIDs too: where the route names IDs, not where it is all of a listener's.
    """

    def __init__(self, vouching: Mapping[str, frozenset[bytes]], counting: tuple[str, ...], *, tokens: bool) -> None:
        self._vouching = vouching
        self._counting = Ids(counting)
        self._tokens = tokens

    def refuse(self, certificate: Certificate, authorities: frozenset[bytes]) -> Refusal | None:
        """Why a certificate does not count here; None when it does.

        Args:
            certificate: whose chain was verified in the handshake.
            authorities: whose other certificates count on the route, as DER.
        """
        spiffe_id = certificate.spiffe_id
        if spiffe_id is None:
            if not authorities.isdisjoint(certificate.chain[1:]):
                return None
            return Refusal(Reason.CERTIFICATE_UNTRUSTED_HERE, f"It is no X509-SVID: {fault_in(certificate.der)}.")
        if not vouches(self._vouching, spiffe_id, certificate.chain):
            return Refusal(
                Reason.CERTIFICATE_UNTRUSTED_HERE,
                "The bundle of its own trust domain does not vouch for its SPIFFE ID.",
            )
        if spiffe_id in self._counting or not authorities.isdisjoint(certificate.chain[1:]):
            return None
        return Refusal(Reason.SPIFFE_ID_REFUSED)

    def refuse_token(self, token: Token) -> Refusal | None:
        """Why a JWT-SVID does not count here; None when it does, and for tokens of other kinds."""
        if not self._tokens or not token.issuer.startswith(SCHEME) or token.subject in self._counting:
            return None
        return Refusal(Reason.SPIFFE_ID_REFUSED)
