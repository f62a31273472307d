"""All that is known of workload identity at one moment, as it goes from the supervisor to each worker."""

from collections.abc import Iterable, Mapping

import msgspec

from ztproxy.config.spiffe_ids import trust_domain_of


class Svid(msgspec.Struct, frozen=True):
    """Our own X509-SVID, checked by `ztproxy.spiffe.svid`."""

    spiffe_id: str
    chain: tuple[bytes, ...]
    """DER, the leaf first."""
    key: bytes
    """PKCS #8, PEM, unencrypted."""
    not_before: float
    """Seconds since 1970."""
    not_after: float

    def __repr__(self) -> str:
        """Without the key: a log is no place for one."""
        return f"Svid({self.spiffe_id!r})"


class Bundle(msgspec.Struct, frozen=True):
    """Whom one trust domain trusts to issue its SVIDs."""

    authorities: tuple[bytes, ...]
    """DER certificates; empty where it issues no X509-SVIDs, or its bundle was withdrawn."""
    keys: bytes = b'{"keys":[]}'
    """JWK set of those that sign its JWT-SVIDs."""
    since: float = 0.0
    """When it came to be as it is, in seconds since 1970."""


class Workload(msgspec.Struct, frozen=True):
    """Who we are, and whose word counts about others."""

    source: str
    """Where it is from: a file, or the Workload API."""
    svid: Svid | None
    bundles: dict[str, Bundle]
    """By trust domain, all that the configuration names."""

    def authorities_of(self, trust_domains: Iterable[str]) -> tuple[bytes, ...]:
        """The authorities of some trust domains, each once."""
        found = (der for name in trust_domains if name in self.bundles for der in self.bundles[name].authorities)
        return tuple(dict.fromkeys(found))

    def vouching(self) -> Mapping[str, frozenset[bytes]]:
        """By trust domain: whose certificates count for its IDs, and for its alone."""
        return {name: frozenset(bundle.authorities) for name, bundle in self.bundles.items()}

    def same_as(self, other: "Workload | None") -> bool:
        """Whether nothing but times differs."""
        return other is not None and self.aged_like(other) == other

    def aged_like(self, other: "Workload") -> "Workload":
        """The same, where a bundle that is as it was before is as old as it was."""
        bundles = {name: _aged(bundle, other.bundles.get(name)) for name, bundle in self.bundles.items()}
        return msgspec.structs.replace(self, bundles=bundles)


def _aged(bundle: Bundle, before: Bundle | None) -> Bundle:
    if before is None or (bundle.authorities, bundle.keys) != (before.authorities, before.keys):
        return bundle
    return before


def vouches(vouching: Mapping[str, frozenset[bytes]], spiffe_id: str, chain: tuple[bytes, ...]) -> bool:
    """Whether an ID's own trust domain vouches for a verified chain (DER, the leaf first).

    An authority of another trust domain may have signed it all the same: its word is nothing here (SPIFFE Workload API
    §4.6). The leaf itself is never an authority.
    """
    bundle = vouching.get(trust_domain_of(spiffe_id))
    return bundle is not None and not bundle.isdisjoint(chain[1:])
