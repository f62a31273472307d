"""What an issuer knows ztproxy as, and how it shows that it is (OpenID Connect Core 1.0 §9, RFC 8705 §2)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import InputFile, Secret

Method = Literal[
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
_NEEDS: dict[Method, frozenset[str]] = {
    "client_secret_basic": frozenset({"client_secret"}),
    "client_secret_post": frozenset({"client_secret"}),
    "private_key_jwt": frozenset({"client_key"}),
    "tls_client_auth": frozenset({"client_key", "client_certificate"}),
    "self_signed_tls_client_auth": frozenset({"client_key", "client_certificate"}),
    "none": frozenset(),
}
_CREDENTIALS = frozenset({"client_secret", "client_key", "client_certificate"})


class OAuthClient(Section):
    """A client of an issuer. Other sections have these keys too."""

    client_id: str = Field(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$")
    """What the issuer knows ztproxy as."""
    client_authentication: Method | None = None
    """How it shows that it is. Absent: `client_secret_basic` with a `client_secret`, `tls_client_auth` with a
    `client_certificate`, `private_key_jwt` with a `client_key` alone. `none` has to be said."""
    client_secret: Secret | None = None
    """For client_secret_basic and client_secret_post."""
    client_key: InputFile | None = None
    """Private key, PEM, unencrypted: what signs for private_key_jwt, or the key of `client_certificate`."""
    client_key_id: str | None = Field(default=None, min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$")
    """The id under which the issuer knows `client_key` (private_key_jwt)."""
    client_certificate: InputFile | None = None
    """For tls_client_auth and self_signed_tls_client_auth: the certificate, followed by its intermediates."""
    client_algorithm: Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] | None = None
    """What an RSA key signs with for private_key_jwt, RS256 when absent; other keys have one algorithm each."""
    client_assertion_audience: Literal["issuer", "endpoint"] = "issuer"
    """Whom a private_key_jwt is made for: the issuer, or the URL that it is sent to, which some issuers insist on."""

    @property
    def authentication(self) -> Method:
        """How it shows who it is."""
        if self.client_authentication is not None:
            return self.client_authentication
        if self.client_secret is not None:
            return "client_secret_basic"
        return "private_key_jwt" if self.client_certificate is None else "tls_client_auth"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = frozenset(name for name in _CREDENTIALS if getattr(self, name) is not None)
        if self.client_authentication is None and not given:
            raise ValueError(
                "how does the client show who it is? Give a `client_secret`, a `client_key`, or a `client_certificate` "
                "with its `client_key`; a public client says `client_authentication: none`"
            )
        if missing := _NEEDS[self.authentication] - given:
            raise ValueError(f"{self.authentication} needs " + " and ".join(f"`{name}`" for name in sorted(missing)))
        if extra := given - _NEEDS[self.authentication]:
            raise ValueError(f"{self.authentication} has no use for `{min(extra)}`")
        signs = self.authentication == "private_key_jwt"
        if not signs and (self.client_key_id is not None or self.client_algorithm is not None):
            raise ValueError("`client_key_id` and `client_algorithm` belong to private_key_jwt")
        return self
