"""Where certificates and lists say that it is known what was revoked; nothing is asked that is not permitted."""

from collections.abc import Iterable, Sequence

import msgspec
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ztproxy.config.revocation import is_plain_url

MAXIMUM_NAMED = 8
"""URLs of one certificate that are looked at."""


class Pointers(msgspec.Struct, frozen=True):
    """What a certificate names."""

    points: frozenset[str]
    """Distribution points for all reasons and its own authority (RFC 5280 §4.2.1.13)."""
    lists: tuple[str, ...]
    """Where lists are: distribution points and those of freshest lists (§4.2.1.15)."""
    responders: tuple[str, ...]
    """OCSP responders (§4.2.2.1)."""


def pointers_of(certificate: x509.Certificate) -> Pointers:
    """What a certificate names; nothing where its extensions cannot be read."""
    points = _points(certificate.extensions, x509.CRLDistributionPoints)
    lists = [*sorted(points), *sorted(freshest_of(certificate.extensions))]
    return Pointers(points, tuple(lists[:MAXIMUM_NAMED]), _responders(certificate.extensions)[:MAXIMUM_NAMED])


def freshest_of(extensions: x509.Extensions) -> frozenset[str]:
    """Where a certificate or a list says that delta lists are."""
    return _points(extensions, x509.FreshestCRL)


def permitted(urls: Iterable[str], prefixes: Sequence[str]) -> tuple[str, ...]:
    """Those of the URLs that begin as configured, and have one reading."""
    return tuple(url for url in urls if is_plain_url(url) and prefix_of(url, prefixes) is not None)


def prefix_of(url: str, prefixes: Sequence[str]) -> str | None:
    """The configured beginning of a URL; a prefix ends with a slash, so that it holds a whole host."""
    whole = url if url.count("/") > 2 else f"{url}/"  # noqa: PLR2004 - those before the host
    return next((prefix for prefix in prefixes if whole.startswith(prefix)), None)


def _points(
    extensions: x509.Extensions, kind: type[x509.CRLDistributionPoints] | type[x509.FreshestCRL]
) -> frozenset[str]:
    try:
        points = extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset().union(
        *(uris(point.full_name) for point in points if point.full_name and not point.reasons and not point.crl_issuer)
    )


def _responders(extensions: x509.Extensions) -> tuple[str, ...]:
    try:
        found = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    named = (one.access_location for one in found if one.access_method == AuthorityInformationAccessOID.OCSP)
    return tuple(dict.fromkeys(name.value for name in named if isinstance(name, x509.UniformResourceIdentifier)))


def uris(names: Iterable[x509.GeneralName]) -> frozenset[str]:
    """The URIs among names."""
    return frozenset(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))
