"""Stands in for SPIRE: a trust domain's authority, and an X509-SVID for each service, good for an hour.

    python identities.py FOLDER SERVICE ...

Said again, it makes new SVIDs by the same authority: the sidecars take them up, and no connection is dropped.
"""

import datetime as dt
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TRUST_DOMAIN = "shop.example"
NOW = dt.datetime.now(dt.UTC)


def write(path: Path, content: bytes) -> None:
    """In one step, readable by us alone: a sidecar never sees half a file."""
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """As the sidecar reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def made(key: ec.EllipticCurvePrivateKey, lifetime: dt.timedelta, *, ca: bool) -> x509.CertificateBuilder:
    """What both kinds of certificates have."""
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(minutes=1))
        .not_valid_after(NOW + lifetime)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The trust domain's: made once."""
    bundle, secret = folder / "bundle.pem", folder / "authority.key"
    if bundle.exists():
        key = serialization.load_pem_private_key(secret.read_bytes(), None)
        return x509.load_pem_x509_certificate(bundle.read_bytes()), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority of {TRUST_DOMAIN}")])
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}")])
    builder = made(key, dt.timedelta(days=1), ca=True).subject_name(name).issuer_name(name)
    certificate = builder.add_extension(uri, critical=False).sign(key, hashes.SHA256())
    write(secret, pem(key))
    write(bundle, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def svid(folder: Path, service: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> None:
    """A service's own."""
    certificate, signer = by
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/{service}"),
        x509.DNSName(f"{service}.{TRUST_DOMAIN}"),
    ]
    builder = made(key, dt.timedelta(hours=1), ca=False).issuer_name(certificate.subject).subject_name(x509.Name([]))
    builder = (
        builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    (folder / service).mkdir(mode=0o700, exist_ok=True)
    write(folder / service / "svid.key", pem(key))
    write(folder / service / "svid.pem", builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    of = authority(target)
    for one in sys.argv[2:]:
        svid(target, one, of)
