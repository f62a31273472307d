"""Workload identity from the SPIFFE Workload API: an agent on a Unix socket streams it whenever it changes.

The client is the `spiffe` package's. It gives a stream up at whatever it does not understand, so that each attempt here
is one client with its streams, and the next one comes after a pause. What an answer leaves out was withdrawn (§4.4); an
answer that leaves out what every answer must have is no answer (§4.5), and what was known before stays.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from ztproxy.config.spiffe import Spiffe
from ztproxy.spiffe import bundle, svid
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Bundle, Svid, Workload

if TYPE_CHECKING:
    from spiffe import JwtBundleSet, WorkloadApiClient, X509BundleSet, X509Svid
    from spiffe.workloadapi.x509_context import X509Context

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two attempts: the first, doubled each time up to the longest."""

Say = Callable[[str], None]


class WorkloadApi:
    """`ztproxy.spiffe.source.Source`, over gRPC. Make and close it within the running loop.

    Args:
        spiffe: the configuration.
        endpoint: `unix:/path` of the agent's socket.
        say: tells the operator.
        tokens: whether the keys of JWT-SVIDs are asked for too; not every agent has them.
        wall: seconds since 1970.

    Raises:
        SpiffeError: the package is not installed.
    """

    def __init__(
        self, spiffe: Spiffe, endpoint: str, say: Say, *, tokens: bool, wall: Callable[[], float] = time.time
    ) -> None:
        try:
            import spiffe as client  # noqa: PLC0415 - gRPC, and only where it is asked for
        except ImportError:
            raise SpiffeError("spiffe.workload_api needs the package: pip install 'ztproxy[spiffe]'") from None
        self._connect: Callable[[str], WorkloadApiClient] = client.WorkloadApiClient
        self._spiffe = spiffe
        self._endpoint = endpoint
        self._say = say
        self._tokens = tokens
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._known: Workload | None = None
        self._handed_out: Workload | None = None
        self._news = asyncio.Event()
        self.problem = "no answer yet"
        """Why it is not current; empty when it is."""
        self._attempt: _Attempt | None = None
        self._task = self._loop.create_task(self._keep_asking())

    async def now(self) -> Workload:
        """What the agent said last; before its first answer that is waited for, at most `start_timeout`."""
        try:
            async with asyncio.timeout(self._spiffe.start_timeout):
                while self._known is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise SpiffeError(f"spiffe.workload_api: {self._endpoint}: {self.problem}") from None
        self._handed_out = self._known
        return self._known

    async def changed(self) -> None:
        """Until the agent has come to say something else."""
        while self._known is None or self._known.same_as(self._handed_out):
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        if self._attempt is not None:
            self._attempt.close()

    async def _keep_asking(self) -> None:
        pause = FIRST_PAUSE
        while True:
            attempt = self._attempt = _Attempt(self._loop, self._take, tokens=self._tokens)
            try:
                await attempt.run(lambda: self._connect(self._endpoint))
            except SpiffeError as wrong:
                self._failed(str(wrong))
            finally:
                attempt.close()
            pause = FIRST_PAUSE if attempt.answered else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    def _failed(self, problem: str) -> None:
        """Told when it is another problem than before: one that lasts is told once."""
        if problem != self.problem:
            kept = "" if self._known is None else "; what was known before stays in use"
            self._say(f"spiffe: {self._endpoint}: {problem}{kept}")
        self.problem = problem

    def _take(self, context: "X509Context", jwt_bundles: "JwtBundleSet | None") -> None:
        """An answer, of both streams. Raises `SpiffeError` when it cannot be used."""
        now = self._wall()
        made = workload_of(context, jwt_bundles, self._spiffe, self._endpoint, now)
        self._known = made if self._known is None else made.aged_like(self._known)
        if self.problem and self._handed_out is not None:
            self._say(f"spiffe: {self._endpoint}: answers again")
        self.problem = ""
        self._news.set()


class _Attempt:
    """One client with its two streams. The package calls back from threads of its own; all else is the loop's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[["X509Context", "JwtBundleSet | None"], None],
        *,
        tokens: bool,
    ) -> None:
        self.answered = False
        self._tokens = tokens
        self._loop = loop
        self._take = take
        self._ended: asyncio.Future[str] = loop.create_future()
        self._context: X509Context | None = None
        self._jwt_bundles: JwtBundleSet | None = None
        self._client: WorkloadApiClient | None = None
        self._streams: list[Any] = []

    async def run(self, connect: Callable[[], "WorkloadApiClient"]) -> None:
        """Hear until a stream ends, and raise `SpiffeError` that says why."""
        try:
            self._client = await asyncio.to_thread(connect)
        except Exception as wrong:  # noqa: BLE001 - the package's own errors have no common ancestor but this
            raise SpiffeError(str(wrong)) from None
        failed = self._on_loop(self._told_error)
        told = self._on_loop(self._told_context)
        self._streams.append(self._client.stream_x509_contexts(told, failed, retry_connect=False))
        if self._tokens:
            told = self._on_loop(self._told_keys)
            self._streams.append(self._client.stream_jwt_bundles(told, failed, retry_connect=False))
        raise SpiffeError(await self._ended)

    def close(self) -> None:
        """Hang up; may be said twice."""
        for stream in self._streams:
            stream.cancel()
        if self._client is not None:
            self._client.close()

    def _on_loop(self, told: Callable[[Any], None]) -> Callable[[Any], None]:
        def tell(what: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(told, what)

        return tell

    def _told_context(self, context: "X509Context") -> None:
        self._context = context
        self._told()

    def _told_keys(self, jwt_bundles: "JwtBundleSet") -> None:
        self._jwt_bundles = jwt_bundles
        self._told()

    def _told(self) -> None:
        if self._context is None or self._ended.done() or (self._tokens and self._jwt_bundles is None):
            return
        try:
            self._take(self._context, self._jwt_bundles)
            self.answered = True
        except SpiffeError as wrong:
            self._told_error(wrong)

    def _told_error(self, wrong: Exception) -> None:
        if not self._ended.done():
            self._ended.set_result(str(wrong))


def workload_of(
    context: "X509Context", jwt_bundles: "JwtBundleSet | None", spiffe: Spiffe, source: str, now: float
) -> Workload:
    """What the Workload API's answers mean for a configuration; `now` in seconds since 1970.

    Raises:
        SpiffeError: the SVID that is ours is not among them or not fit to be shown, or our own bundle is empty.
    """
    shown = _chosen(context, spiffe, source, now)
    bundles = {}
    for name in spiffe.trust_domains:
        authorities, keys = _x509(context.x509_bundle_set, name), _jwks(jwt_bundles, name)
        if name == spiffe.trust_domain and not authorities:
            raise SpiffeError(f"{source}: the bundle of our own trust domain, {name}, is empty")
        # A federated domain without one was withdrawn: nobody of it counts from now on.
        bundles[name] = bundle.of(authorities, keys, source, now) if authorities or keys else Bundle((), since=now)
    return Workload(source, shown, bundles)


def _chosen(context: "X509Context", spiffe: Spiffe, source: str, now: float) -> Svid:
    found: list[X509Svid] = context.x509_svids
    if spiffe.spiffe_id is not None:
        found = [one for one in found if str(one.spiffe_id) == spiffe.spiffe_id]
        if not found:
            raise SpiffeError(f"{source}: does not hand out {spiffe.spiffe_id}")
    if not found:
        raise SpiffeError(f"{source}: hands out no SVID")
    return svid.own(found[0].cert_chain, found[0].private_key, spiffe.trust_domain, source, now)


def _x509(bundles: "X509BundleSet", name: str) -> list[Any]:
    from spiffe import TrustDomain  # noqa: PLC0415 - as above

    found = bundles.get_bundle_for_trust_domain(TrustDomain(name))
    return [] if found is None else sorted(found.x509_authorities, key=lambda one: one.tbs_certificate_bytes)


def _jwks(bundles: "JwtBundleSet | None", name: str) -> list[Mapping[str, Any]]:
    from spiffe import TrustDomain  # noqa: PLC0415 - as above

    found = None if bundles is None else bundles.get_bundle_for_trust_domain(TrustDomain(name))
    if found is None:
        return []
    return [_jwk(key_id, key) for key_id, key in sorted(found.jwt_authorities.items())]


def _jwk(key_id: str, key: Any) -> dict[str, Any]:
    """The JWK of a key; of a type that no JWT-SVID is signed with it names itself, and counts for nothing."""
    for algorithm in (ECAlgorithm, RSAAlgorithm):
        with contextlib.suppress(Exception):
            return {**json.loads(algorithm.to_jwk(key)), "kid": key_id}
    return {"kid": key_id, "kty": type(key).__name__}
