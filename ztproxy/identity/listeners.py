"""What each listener knows about revoked certificates, made from its configuration."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.config.revocation import Revocation as Section
from ztproxy.config.settings import ClientCertificates, Listener, Settings
from ztproxy.identity.answers import Answers
from ztproxy.identity.authorities import read_authorities, trust_in
from ztproxy.identity.authority import Authority, Following
from ztproxy.identity.certificates import is_authority
from ztproxy.identity.downloads import Downloads
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.kept import Clock
from ztproxy.identity.list_files import ListFiles
from ztproxy.identity.ocsp_client import OcspClient
from ztproxy.identity.published_list import PublishedList
from ztproxy.identity.revocation import Revocation
from ztproxy.identity.saved_documents import SavedDocuments
from ztproxy.identity.standing import Rule

SWEEP_EVERY = 86400.0
"""Seconds between two looks at what has been kept on disk for too long."""


class Knowledge:
    """What all listeners know."""

    def __init__(
        self,
        listeners: Mapping[str, Revocation],
        authorities: Mapping[object, Authority],
        saved: SavedDocuments,
        clock: Clock,
    ) -> None:
        self.listeners = listeners
        """Those that have anything to know it from, by their address."""
        self.authorities = authorities
        """By their configuration: listeners that say the same share one."""
        self._saved = saved
        self._clock = clock
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fetch, and to look at files now and then; does not wait for anybody."""
        if self.authorities:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        for authority in self.authorities.values():
            authority.start()

    async def close(self) -> None:
        """Stop fetching and looking."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        for authority in self.authorities.values():
            await authority.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.to_thread(self._saved.sweep, self._clock.wall())
            await asyncio.sleep(SWEEP_EVERY)

    def take_over(self, before: "Knowledge") -> None:
        """Go on from what is known of authorities that are the same, however they are asked now."""
        for authority in self.authorities.values():
            for other in before.authorities.values():
                if authority.ids == other.ids:
                    authority.take_over(other)


def knowledge_of(settings: Settings, clock: Clock) -> Knowledge:
    """Read all files that the configuration names; nothing is fetched yet. Raises `IdentityConfigError`."""
    made = _Making(SavedDocuments(settings.state / "revocation"), clock)
    listeners = {
        str(listener.address): made.listener(listener)
        for listener in settings.listeners
        if listener.client_certificates.crl or listener.client_certificates.revocation
    }
    return Knowledge(listeners, made.authorities, made.saved, clock)


class _Making:
    """Authorities made so far."""

    def __init__(self, saved: SavedDocuments, clock: Clock) -> None:
        self.saved = saved
        self.clock = clock
        self.authorities: dict[object, Authority] = {}

    def listener(self, listener: Listener) -> Revocation:
        asked = listener.client_certificates
        key = f"listeners[{listener.address}].client_certificates"
        sources: list[tuple[Authority, Rule | None]] = []
        if asked.crl:
            sources.append((self._files_alone(asked, key), None))
        for section in asked.revocation:
            refuse = (section.on_unknown or asked.on_unknown) == "refuse"
            rule = Rule(refuse, section.grace or 0.0, section.wait)
            at = f"{key}.revocation[{section.authority}]"
            authority = self._authority(section, at)
            if any(other is not None and not authority.ids.isdisjoint(one.ids) for one, other in sources):
                raise IdentityConfigError(
                    at, "another entry is about the same authority: say all about it in one place"
                )
            sources.append((authority, rule))
        return Revocation(sources, Rule(asked.on_unknown == "refuse"))

    def _files_alone(self, asked: ClientCertificates, key: str) -> Authority:
        """Lists that any of the listener's authorities may have signed."""
        certificates = [one for path in asked.authorities for one in read_authorities(path, f"{key}.authorities")]
        known_by = (asked.crl, tuple(certificates))
        if known_by not in self.authorities:
            name = ", ".join(path.name for path in asked.authorities)
            self.authorities[known_by] = Authority(name, certificates, ListFiles(asked.crl, certificates, f"{key}.crl"))
        return self.authorities[known_by]

    def _authority(self, section: Section, key: str) -> Authority:
        certificates = read_authorities(section.authority, f"{key}.authority")
        if not all(is_authority(one.public_bytes(Encoding.DER)) for one in certificates):
            raise IdentityConfigError(
                f"{key}.authority", f"{section.authority} holds a certificate that is no authority's"
            )
        known_by = (_sources(section), certificates)
        if known_by not in self.authorities:
            self.authorities[known_by] = self._made(section, certificates, key)
        return self.authorities[known_by]

    def _made(self, section: Section, certificates: tuple[x509.Certificate, ...], key: str) -> Authority:
        downloads = Downloads(_trust(section, f"{key}.tls_authorities"))
        client = OcspClient(downloads, self.saved, section.ocsp_nonce, self.clock)
        return Authority(
            section.authority.name,
            certificates,
            ListFiles(section.crl, certificates, f"{key}.crl"),
            following=Following(section.crl_urls, section.ocsp_urls, section.follow),
            publish=lambda url, changed: PublishedList(
                url,
                authorities=certificates,
                downloads=downloads,
                saved=self.saved,
                refresh=section.refresh,
                clock=self.clock,
                changed=changed,
            ),
            answers=partial(Answers, client, section.refresh, self.clock)
            if section.ocsp_urls or section.follow
            else None,
        )


def _trust(section: Section, key: str) -> ssl.SSLContext:
    """How servers of https URLs are verified; nobody is trusted where there is none of them."""
    urls = (*section.crl_urls, *section.ocsp_urls, *section.follow)
    if section.tls_authorities or any(url.startswith("https:") for url in urls):
        return trust_in(section.tls_authorities, key)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _sources(section: Section) -> Section:
    """A section without what differs between listeners that share its sources."""
    return section.model_copy(update={"on_unknown": None, "grace": None, "wait": 0.0})
