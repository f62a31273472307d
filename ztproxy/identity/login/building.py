"""The issuers that browsers log in at, made ready from the configuration."""

from collections.abc import Mapping

from ztproxy.config.settings import Settings
from ztproxy.identity.certificates.authorities import trust_in
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.issuers.client_authentication import ClientAuthentication
from ztproxy.identity.issuers.discovery import MetadataStore
from ztproxy.identity.issuers.fetching import Fetcher
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.login.context import LoginIssuer
from ztproxy.identity.login.grants import Endpoints
from ztproxy.identity.tokens.trusted import TrustedIssuer


def login_issuers(
    settings: Settings, trusted: Mapping[str, TrustedIssuer], metadata: Mapping[str, MetadataStore], clock: Clock
) -> Mapping[str, LoginIssuer]:
    """By their names, each with a client of its own. Raises `IdentityConfigError`."""
    authorities = {issuer.issuer: issuer.authorities for issuer in settings.issuers}
    made: dict[str, LoginIssuer] = {}
    for login in settings.login:
        key = f"login[{login.issuer}]"
        if login.issuer not in trusted:
            raise IdentityConfigError(f"{key}.issuer", f"{login.issuer} is not among `issuers`")
        if login.issuer in made:
            raise IdentityConfigError(f"{key}.issuer", "people log in at this issuer already, by another `login`")
        client = ClientAuthentication.build(login, login.issuer, key)
        fetcher = Fetcher(trust_in(authorities[login.issuer], key, client.certificate))
        made[login.issuer] = LoginIssuer(
            login, trusted[login.issuer], metadata[login.issuer], Endpoints(fetcher, client, clock.wall)
        )
    return made
