"""Whether a client certificate counts here and now; asked about every request."""

from ztproxy.identity.certificates.workloads import Workloads
from ztproxy.model import Certificate, Reason, Refusal

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
"""id-kp-clientAuth (RFC 5280 §4.2.1.12)."""
_VERSION_3 = 3


def fit(
    certificate: Certificate, authorities: frozenset[bytes], now: float, workloads: Workloads | None = None
) -> Refusal | None:
    """Why a certificate does not count here and now, apart from revocation; None when it does.

    Args:
        certificate: as `describe` read it.
        authorities: certificates (DER) of the authorities that count on the route: one must be in the chain.
        now: seconds since 1970.
        workloads: which workloads count on the route, where workload identity is configured.
    """
    if now > certificate.not_after:
        return Refusal(Reason.CERTIFICATE_EXPIRED, "It has expired.")
    if now < certificate.not_before:
        return Refusal(Reason.CERTIFICATE_EXPIRED, "It is not valid yet.")
    if certificate.version != _VERSION_3:
        return unsuitable("It is not of version 3.")
    if certificate.is_authority:
        return unsuitable("It is an authority's.")
    usage = certificate.extended_key_usage
    if usage is None or CLIENT_AUTH not in usage:
        # anyExtendedKeyUsage alone does not do: such a certificate was made for no purpose in particular.
        return unsuitable("Its extended key usage does not name client authentication.")
    if workloads is not None:
        return workloads.refuse(certificate, authorities)
    if authorities.isdisjoint(certificate.chain[1:]):
        return Refusal(Reason.CERTIFICATE_UNTRUSTED_HERE)
    return None


def unsuitable(detail: str) -> Refusal:
    """It is no certificate for a client."""
    return Refusal(Reason.CERTIFICATE_UNSUITABLE, detail)
