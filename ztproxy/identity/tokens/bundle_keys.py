"""The keys of a trust domain's JWT-SVIDs: they come with its bundle, and another bundle comes with another stage."""

from ztproxy.config.settings import Settings
from ztproxy.config.spiffe_ids import SCHEME, trust_domain_of
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.issuers.keys import Key, read_key_set
from ztproxy.identity.strict_json import MalformedError
from ztproxy.identity.tokens.claims import Expected
from ztproxy.identity.tokens.trusted import TrustedIssuer
from ztproxy.model import Reason, Refusal
from ztproxy.spiffe.workload import Bundle, Workload


class BundleKeys:
    """One trust domain's. Raises `IdentityConfigError` when they cannot be read."""

    def __init__(self, trust_domain: str, bundle: Bundle | None) -> None:
        try:
            self.keys = read_key_set(b'{"keys":[]}' if bundle is None else bundle.keys)
        except MalformedError as wrong:
            raise IdentityConfigError(f"issuers[{SCHEME}{trust_domain}]", f"the bundle's keys: {wrong}") from None
        self._trust_domain = trust_domain

    def vouches(self, identity: bytes, _wall: float) -> bool:
        """Whether a key that verified a token before is one of them."""
        return identity in self.keys.identities

    def withdrew(self, key_id: str) -> bool:
        """Whether there are keys, and none of this id is among them."""
        return bool(self.keys.keys) and not self.keys.has(key_id)

    async def find(self, key_id: str | None, algorithm: str, _wall: float, _monotonic: float) -> Key | Refusal:
        """The key that a token names; refuses with `TOKEN_KEY_UNKNOWN`, or `ISSUER_KEYS_UNAVAILABLE` without any."""
        if key := self.keys.find(key_id, algorithm):
            return key
        if not self.keys.keys:
            cause = f"the bundle of {self._trust_domain} holds no keys for JWT-SVIDs"
            return Refusal(Reason.ISSUER_KEYS_UNAVAILABLE, cause=cause)
        return Refusal(Reason.TOKEN_KEY_UNKNOWN)


def svid_issuers(settings: Settings, workload: Workload | None) -> dict[str, TrustedIssuer]:
    """The trust domains whose JWT-SVIDs are understood, as issuers by their names. Raises `IdentityConfigError`."""
    bundles = {} if workload is None else workload.bundles
    return {
        issuer.issuer: TrustedIssuer(
            frozenset(issuer.algorithms),
            Expected(frozenset(issuer.audiences), issuer.leeway),
            BundleKeys(trust_domain_of(issuer.issuer), bundles.get(trust_domain_of(issuer.issuer))),
        )
        for issuer in settings.issuers
        if issuer.issuer.startswith(SCHEME)
    }
