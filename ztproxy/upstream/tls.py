"""How servers under https:// are verified, and what we show them (RFC 9110 §4.3.4, RFC 9325)."""

import ssl

from ztproxy.config.spiffe_ids import trust_domain_of
from ztproxy.config.upstreams import UpstreamTls
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.tls import show, trust
from ztproxy.spiffe.workload import Workload
from ztproxy.upstream.files import UnusableFileError


def client_context(tls: UpstreamTls | None, workload: Workload | None = None) -> ssl.SSLContext:
    """A context that verifies chain and name, TLS 1.2 and later.

    Trust is exactly the configured authorities, or the system's where none are configured; an authority file that
    cannot be read is an error and never falls back to the system's (CVE-2026-27586). With `spiffe_ids` it is the
    bundles of their trust domains, and no name is verified: `Peers` judges who the server is.

    Args:
        tls: as configured.
        workload: our SVID, and those bundles.

    Raises:
        UnusableFileError: naming the file.
        SpiffeError: our SVID cannot be shown.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # names are subject alternative names (RFC 9525)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if tls is not None and tls.spiffe_ids is not None:
        context.check_hostname = False
        trust(context, () if workload is None else workload.authorities_of(map(trust_domain_of, tls.spiffe_ids)))
    elif tls is None or not tls.authorities:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        for authorities in tls.authorities:
            try:
                context.load_verify_locations(cafile=authorities)
            except (OSError, ValueError) as wrong:
                raise UnusableFileError(authorities, f"holds no usable authorities ({_said(wrong)})") from None
    if tls is not None and tls.certificate is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_refuse_password)
        except (OSError, ValueError) as wrong:
            raise UnusableFileError(tls.certificate, f"is unusable with {tls.key} ({_said(wrong)})") from None
    if tls is not None and tls.svid:
        if workload is None or workload.svid is None:
            raise SpiffeError("there is no SVID to show to servers")
        show(context, workload.svid)
    return context


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")


def _said(wrong: Exception) -> str:
    """OpenSSL's or the system's own word for it."""
    if isinstance(wrong, ssl.SSLError):
        return wrong.reason or "not PEM"
    return wrong.strerror or str(wrong) if isinstance(wrong, OSError) else str(wrong)
