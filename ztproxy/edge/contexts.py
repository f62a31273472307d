"""What a TLS listener shows and asks for: one `ssl.SSLContext` per certificate, chosen by SNI.

TLS 1.2 and 1.3 with forward secrecy and AEAD only. Client certificates are verified against the listener's own
authorities and never the system's; where they are asked for no session is ever resumed (CVE-2025-23419,
CVE-2025-23048).
"""

import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.config import settings
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.tls import show, trust
from ztproxy.spiffe.workload import Workload

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!aPSK:!kPSK:@SECLEVEL=2"
"""Of TLS 1.2; those of 1.3 are all AEAD with forward secrecy. Level 2: no RSA below 2048 bits, no SHA-1 signatures."""

SniCallback = Callable[[ssl.SSLObject | ssl.SSLSocket, str | None, ssl.SSLContext], None]


class ContextError(Exception):
    """A certificate, key or authority cannot be used; the message names the file."""


class EdgeTls(ssl.SSLObject):
    """A connection's TLS object, which remembers the server name that the client sent."""

    server_name: str | None = None
    """SNI in lower case."""


class Contexts(msgspec.Struct, frozen=True):
    """A listener's contexts. A change of certificates, authorities or mode makes a new one."""

    default: ssl.SSLContext
    by_name: Mapping[str, ssl.SSLContext]
    """By DNS name in lower case; wildcards as `*.example.com`."""
    asks: bool
    """Whether client certificates are asked for."""
    warnings: tuple[str, ...] = ()
    """What the operator should know and what does not stop the start."""
    ends: tuple[tuple[str, Path, float], ...] = ()
    """Of each certificate here: what it is for (`listener`, `authority`), its file, its end in seconds since 1970."""
    requires: bool = False
    """Whether the handshake refuses clients without a certificate."""
    authorities: frozenset[bytes] = frozenset()
    """Whose certificates count, as DER: what a connection's verdict rests on."""

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> EdgeTls:
        """A server-side TLS object over two memory buffers."""
        return cast("EdgeTls", self.default.wrap_bio(incoming, outgoing, server_side=True))


def build(listener: settings.Listener, now: float, workload: Workload | None = None) -> Contexts:
    """The contexts of an https listener.

    Args:
        listener: its settings; paths absolute.
        now: seconds since 1970, to warn of certificates outside their validity.
        workload: our SVID and the bundles of trust domains, where the listener shows it or asks for theirs.

    Raises:
        ContextError: a file cannot be read, holds no certificate, or key and certificate do not belong together.
    """
    asked = listener.client_certificates
    found = [(path, certificate) for path in asked.authorities for certificate in read_authorities(path)]
    authorities = [certificate.public_bytes(Encoding.DER) for _, certificate in found]
    authorities += workload.authorities_of(asked.trust_domains) if workload is not None else ()
    ends = [("authority", path, certificate.not_valid_after_utc.timestamp()) for path, certificate in found]
    by_name: dict[str, ssl.SSLContext] = {}
    contexts: list[ssl.SSLContext] = []
    warnings: list[str] = []
    if listener.svid:
        contexts.append(_showing_svid(listener, authorities, workload))
    for pair in listener.certificates:
        context = _context(listener, authorities)
        certificate = _load_pair(context, pair)
        warnings += _doubts(pair, certificate, now)
        ends.append(("listener", pair.certificate, certificate.not_valid_after_utc.timestamp()))
        contexts.append(context)
        for name in _names(certificate):
            by_name.setdefault(name, context)
    if not contexts:
        raise ContextError(f"{listener.address}: an https listener needs a certificate")
    default = contexts[0]
    default.sni_callback = _chooser(default, by_name)
    return Contexts(
        default,
        by_name,
        asks=asked.mode != "off",
        warnings=tuple(warnings),
        requires=asked.mode == "required",
        ends=tuple(ends),
        authorities=frozenset(authorities),
    )


def read_authorities(path: Path) -> list[x509.Certificate]:
    """The certificates of authorities in a PEM file.

    Raises:
        ContextError: there is none, or one may not issue certificates. Never falls back to others (CVE-2026-27586).
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as wrong:
        raise ContextError(f"{path}: {wrong.strerror}") from None
    except ValueError as wrong:
        raise ContextError(f"{path}: holds no certificate in PEM form: {wrong}") from None
    for certificate in found:
        if not _is_authority(certificate):
            raise ContextError(f"{path}: {certificate.subject.rfc4514_string()} is not an authority's certificate")
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _showing_svid(listener: settings.Listener, authorities: list[bytes], workload: Workload | None) -> ssl.SSLContext:
    context = _context(listener, authorities)
    if workload is None or workload.svid is None:
        raise ContextError(f"{listener.address}: there is no SVID to show")
    try:
        show(context, workload.svid)
    except SpiffeError as wrong:
        raise ContextError(f"{listener.address}: {wrong}") from None
    return context


def _context(listener: settings.Listener, authorities: list[bytes]) -> ssl.SSLContext:
    mode = listener.client_certificates.mode
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = EdgeTls
    minimum = listener.minimum_version or ("1.2" if mode == "off" else "1.3")
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if mode == "off":
        context.verify_mode = ssl.CERT_NONE
        return context
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    # An intermediate named as an authority is trusted itself, so that nobody has to trust all of its root instead.
    trust(context, authorities)
    # Trust domains whose bundles were withdrawn leave nobody to be let in: that is taken up, and not refused.
    if not context.get_ca_certs() and not listener.client_certificates.trust_domains:
        raise ContextError(f"{listener.address}: client certificates are asked for, but no authority may issue them")
    context.verify_mode = ssl.CERT_REQUIRED if mode == "required" else ssl.CERT_OPTIONAL
    return context


def _load_pair(context: ssl.SSLContext, pair: settings.KeyPair) -> x509.Certificate:
    for path in (pair.certificate, pair.key):
        try:
            path.read_bytes()
        except OSError as wrong:
            raise ContextError(f"{path}: {wrong.strerror}") from None
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    except ValueError as wrong:
        raise ContextError(f"{pair.certificate}: holds no certificate in PEM form: {wrong}") from None

    def refuse() -> str:
        raise ContextError(f"{pair.key}: the key is encrypted; an unencrypted one is needed")

    try:
        context.load_cert_chain(pair.certificate, pair.key, password=refuse)
    except ssl.SSLError as wrong:
        raise ContextError(_what_is_wrong(pair, wrong)) from None
    return certificate


def _what_is_wrong(pair: settings.KeyPair, wrong: ssl.SSLError) -> str:
    if wrong.reason == "KEY_VALUES_MISMATCH":
        return f"{pair.key}: is not the key of {pair.certificate}"
    if wrong.reason in {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}:
        return f"{pair.certificate}: key or signature is too weak ({wrong.reason.lower().replace('_', ' ')})"
    reason = (wrong.reason or "cannot be read").lower().replace("_", " ")
    return f"{pair.key}: certificate or key cannot be used with {pair.certificate}: {reason}"


def _doubts(pair: settings.KeyPair, certificate: x509.Certificate, now: float) -> Iterator[str]:
    at = datetime.fromtimestamp(now, UTC)
    if at >= certificate.not_valid_after_utc:
        yield f"{pair.certificate}: expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    elif at < certificate.not_valid_before_utc:
        yield f"{pair.certificate}: not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if not _names(certificate):
        yield f"{pair.certificate}: names no DNS name, so clients will not accept it by name"
    if pair.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"{pair.key}: others than its owner can read the key; chmod 600 it"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _chooser(default: ssl.SSLContext, by_name: Mapping[str, ssl.SSLContext]) -> SniCallback:
    """Choose the certificate by server name: the exact name, else a wildcard over one label, else the default.

    The default context holds this function, so the function does not hold the default: contexts that a reload replaced
    would wait for the collector.
    """
    others = {name: None if context is default else context for name, context in by_name.items()}

    def choose(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        lowered = name.lower()
        cast("EdgeTls", tls).server_name = lowered
        meant = lowered if lowered in others else "*." + lowered.partition(".")[2]
        chosen = others.get(meant)
        if chosen is not None:
            tls.context = chosen

    return choose
