"""How the demo's authority and issuer are marked, so that `run` can refuse them."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from ztproxy.config.settings import Settings

ORGANIZATION = "ztproxy demo - not for production"
ISSUER_PATH = "/ztproxy-demo-not-for-production"


def traces(settings: Settings) -> Iterator[str]:
    """What of the demo a configuration trusts."""
    for issuer in settings.issuers:
        if urlsplit(issuer.issuer).path.startswith(ISSUER_PATH):
            yield f"issuer {issuer.issuer} is the demo's: anyone can have its tokens"
    files = [file for listener in settings.listeners for file in listener.client_certificates.authorities]
    files += [file for issuer in settings.issuers for file in issuer.authorities]
    files += [
        file
        for route in settings.routes
        if route.upstream and route.upstream.tls
        for file in route.upstream.tls.authorities
    ]
    for file in dict.fromkeys(files):
        if _is_marked(file):
            yield f"authority {file} is the demo's: its key lay open in a folder"


def _is_marked(file: Path) -> bool:
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return False  # whoever loads it to trust it will say what is wrong
    return any(
        attribute.value == ORGANIZATION
        for certificate in certificates
        for attribute in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    )
