"""How we show an issuer's endpoints which client we are (RFC 6749 §2.3, RFC 7521, RFC 7523 §2.2, RFC 8705 §2)."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote_plus

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ztproxy.config.clients import Method, OAuthClient
from ztproxy.config.secrets import read
from ztproxy.identity.errors import IdentityConfigError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME = 60
"""Seconds that an assertion counts; each is made for one request."""
_BY_CERTIFICATE = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LEAST_RSA = 2048
"""Bits."""


class Shown(msgspec.Struct, frozen=True):
    """What a request to an endpoint carries so that the issuer knows the client."""

    headers: Mapping[str, str]
    form: Mapping[str, str]
    """Beside the request's own parameters."""


class ClientAuthentication:
    """One client of one issuer. Make one with `build`; it holds a secret, and never shows it in its own description."""

    def __init__(self, client: OAuthClient, issuer: str, secret: str | None, signing: tuple[Any, str] | None) -> None:
        self.client_id = client.client_id
        self.method: Method = client.authentication
        self._issuer = issuer
        self._client = client
        self._secret = secret
        self._signing = signing

    @classmethod
    def build(cls, client: OAuthClient, issuer: str, key: str) -> Self:
        """Read the secret or the key; `key` is where the section stands. Raises `IdentityConfigError`."""
        method = client.authentication
        try:
            secret = None if client.client_secret is None else read(client.client_secret)
        except (LookupError, OSError, UnicodeError) as wrong:
            raise IdentityConfigError(f"{key}.client_secret", str(wrong)) from wrong
        if secret is not None and (not secret or not secret.isprintable()):
            raise IdentityConfigError(f"{key}.client_secret", "it is empty, or holds what cannot be printed")
        signing = _signing(client, f"{key}.client_key") if method == "private_key_jwt" else None
        return cls(client, issuer, secret, signing)

    @property
    def by_certificate(self) -> bool:
        """Whether the TLS connection itself shows who we are: with `certificate`."""
        return self.method in _BY_CERTIFICATE

    @property
    def certificate(self) -> tuple[str, str] | None:
        """The files of the certificate and of its key that the connection shows; None where it shows none."""
        client = self._client
        if not self.by_certificate or client.client_certificate is None or client.client_key is None:
            return None
        return str(client.client_certificate), str(client.client_key)

    def show(self, endpoint: str, now: float) -> Shown:
        """What goes with one request.

        Args:
            endpoint: the URL that it is sent to.
            now: seconds since 1970.
        """
        named = {"client_id": self.client_id}
        if self.method == "client_secret_basic":
            # Both are form-encoded first (RFC 6749 §2.3.1): a colon in the id would end it early.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self._secret or '')}"
            return Shown({"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {})
        if self.method == "client_secret_post":
            return Shown({}, named | {"client_secret": self._secret or ""})
        if self.method == "private_key_jwt":
            assertion = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(endpoint, now)}
            return Shown({}, named | assertion)
        return Shown({}, named)

    def _assertion(self, endpoint: str, now: float) -> str:
        """For this issuer alone, for a minute, each with an id of its own (RFC 7523 §3)."""
        if self._signing is None:
            raise RuntimeError("there is no key to sign with")
        key, algorithm = self._signing
        audience = self._issuer if self._client.client_assertion_audience == "issuer" else endpoint
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now),
            "exp": int(now) + LIFETIME,
        }
        key_id = self._client.client_key_id
        return jwt.encode(claims, key, algorithm, headers=None if key_id is None else {"kid": key_id})


def _signing(client: OAuthClient, at: str) -> tuple[Any, str]:
    """The key that signs, and its algorithm. Raises `IdentityConfigError`."""
    path = client.client_key
    if path is None:
        raise IdentityConfigError(at, "private_key_jwt needs it")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as wrong:
        raise IdentityConfigError(at, f"{path} cannot be read: {wrong.strerror}") from wrong
    except (ValueError, TypeError) as wrong:
        raise IdentityConfigError(at, f"{path} holds no unencrypted private key in PEM") from wrong
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_RSA:
        return key, client.client_algorithm or "RS256"
    if client.client_algorithm is not None:
        raise IdentityConfigError(at, f"{path} is no RSA key for {client.client_algorithm}")
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key, _CURVES[key.curve.name]
    if isinstance(key, Ed25519PrivateKey):
        return key, "EdDSA"
    raise IdentityConfigError(at, f"{path} is of no use: RSA of {_LEAST_RSA} bits, P-256, P-384, P-521 or Ed25519")
