"""Whether a request comes within its rates: the stage between identity and policy."""

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

from limits.errors import StorageError

from ztproxy.config import secrets
from ztproxy.config.settings import Settings
from ztproxy.limits import refusals
from ztproxy.limits.bucket import SECOND
from ztproxy.limits.keys import source_key
from ztproxy.limits.machine import TokenBucketMachineStorage
from ztproxy.limits.memory import TokenBucketMemoryStorage
from ztproxy.limits.redis import TokenBucketRedisStorage
from ztproxy.limits.rules import Rule, by_route, rules
from ztproxy.limits.token_bucket import BucketState
from ztproxy.model import Admitted, Arrived, Certificate, Identified, LimitStatus, Refusal, Token
from ztproxy.store import StoreError

_REMEMBERED = 4096
"""Requests whose shadow refusals by address wait for them to be identified."""


Shared = TokenBucketMachineStorage | TokenBucketRedisStorage
"""Storages that several processes charge."""
MACHINE = "machine://"


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"ztproxy: {line}\n")


class Limits:
    """Charges a request to its buckets: those of its address as it arrives, all others once it is known who asks.

    All buckets of a step are charged, or none when one of them refuses. Shadow rules are charged as if they were
    enforced, and refuse nothing; `would_have_refused` counts.
    """

    def __init__(
        self,
        source: tuple[Rule, ...],
        routes: dict[str, tuple[Rule, ...]],
        key_of_source: Callable[[str], str],
        local: TokenBucketMemoryStorage,
        shared: Shared | None,
    ) -> None:
        """See `build`."""
        self._source = source
        self._routes = routes
        self._key_of_source = key_of_source
        self._local = local.table
        self._shared = shared
        self._noted: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self.would_have_refused: Counter[str] = Counter()
        """By name of the shadow rule."""

    @classmethod
    def build(cls, settings: Settings, report: Callable[[str], None] = _to_stderr) -> Self:
        """Work out the rules, and open what is in files; nothing is connected yet.

        Raises:
            ValueError: a rule whose numbers make no sense together, or a table that cannot be used.
            LookupError, OSError: the storage's password cannot be read.
        """
        limits = settings.limits
        everywhere = rules(limits.rules)
        return cls(
            tuple(rule for rule in everywhere if rule.source_only),
            by_route(
                ((route.name, route.limits) for route in settings.routes),
                tuple(rule for rule in everywhere if not rule.source_only),
            ),
            source_key(limits.ipv6_prefix),
            TokenBucketMemoryStorage(limits.maximum_buckets),
            _shared(settings, report),
        )

    async def charge_source(self, arrived: Arrived) -> Refusal | None:
        """Charge the rules keyed by the source address alone, before anything costly is done."""
        wanted = self._source
        if not wanted:
            return None
        if self._shared is None and len(wanted) == 1 and (rule := wanted[0]).enforced:
            state = self._take_one(rule, arrived, "", None, None)
            if not state.admitted:
                return self._refused(wanted, state)
            rule.charged += 1
            return None  # how full the bucket is, is told only where it is the request's own
        found = await self._charge(wanted, arrived, "", None, None)
        if isinstance(found, Refusal):
            return found
        if found is not None and found.shadow:
            self._noted[arrived.request_id] = found.shadow
            if len(self._noted) > _REMEMBERED:
                self._noted.popitem(last=False)
        return None

    async def admit(self, identified: Identified) -> Admitted | Refusal:
        """Charge all other rules that hold everywhere, and those of the route."""
        arrived, route = identified.arrived, identified.route
        certificate, token = identified.certificate, identified.token
        wanted = self._routes[route]
        limit: LimitStatus | None = None
        if wanted:
            found = await self._charge(wanted, arrived, route, certificate, token)
            if isinstance(found, Refusal):
                return found
            limit = found
        if self._noted and (noted := self._noted.pop(arrived.request_id, None)):
            limit = _with_shadow(limit, noted)
        return Admitted(arrived, route, certificate, token, limit, identified.response_fields)

    async def _charge(
        self,
        wanted: tuple[Rule, ...],
        arrived: Arrived,
        route: str,
        certificate: Certificate | None,
        token: Token | None,
    ) -> LimitStatus | Refusal | None:
        if self._shared is None and len(wanted) == 1 and (rule := wanted[0]).enforced:
            state = self._take_one(rule, arrived, route, certificate, token)
            if not state.admitted:
                return self._judge(wanted, (state,))
            rule.charged += 1
            return refusals.status(rule, state)
        source = self._key_of_source(arrived.source)
        now = int(arrived.monotonic * SECOND)
        charges = [rule.charge(source, route, certificate, token) for rule in wanted]
        if self._shared is None:
            return self._judge(wanted, self._local.take(charges, now))
        try:
            return self._judge(wanted, await self._shared.acquire_tokens(charges))
        except StorageError as wrong:
            if any(rule.enforced and not rule.local for rule in wanted):
                return refusals.storage_away(str(wrong))
        # Only rules with `on_failure: local` are left, and shadow rules, which never stop anything.
        kept = [(rule, charge) for rule, charge in zip(wanted, charges, strict=True) if rule.local]
        states = self._local.take([charge for _, charge in kept], now)
        return self._judge([rule for rule, _ in kept], states)

    def _take_one(
        self, rule: Rule, arrived: Arrived, route: str, certificate: Certificate | None, token: Token | None
    ) -> BucketState:
        """Charge a rule that is alone, in the process: what nearly every request needs."""
        key = rule.key(self._key_of_source(arrived.source), route, certificate, token)
        return self._local.take_one(key, rule.quota, int(arrived.monotonic * SECOND))

    def _refused(self, wanted: Sequence[Rule], state: BucketState) -> Refusal | None:
        found = self._judge(wanted, (state,))
        return found if isinstance(found, Refusal) else None

    def _judge(self, wanted: Sequence[Rule], states: Sequence[BucketState]) -> LimitStatus | Refusal | None:
        """The refusal that lasts longest; or how the tightest rule stands."""
        shadow: tuple[str, ...] = ()
        refused: tuple[int, Rule, BucketState] | None = None
        tightest: tuple[int, Rule, BucketState] | None = None
        for rule, state in zip(wanted, states, strict=True):
            if state.admitted:
                remaining = rule.quota.remaining(state.level)
                if rule.enforced and (tightest is None or remaining < tightest[0]):
                    tightest = remaining, rule, state
            elif not rule.enforced:
                shadow += (rule.name,)
                self.would_have_refused[rule.name] += 1
            elif state.refused_new:
                return refusals.no_room(rule)
            else:
                wait = rule.quota.wait(state.level)
                if refused is None or wait > refused[0]:
                    refused = wait, rule, state
        if refused is not None:
            return refusals.rate_limited(refused[1], refused[2], shadow)
        for rule, state in zip(wanted, states, strict=True):
            rule.charged += state.admitted
        if tightest is not None:
            return refusals.status(tightest[1], tightest[2], shadow)
        return _with_shadow(None, shadow) if shadow else None

    @property
    def charged(self) -> Mapping[str, int]:
        """By name of the rule: requests that fitted into their bucket."""
        counted: Counter[str] = Counter()
        for rule in {*self._source, *chain.from_iterable(self._routes.values())}:
            counted[rule.name] += rule.charged
        return counted

    @property
    def buckets(self) -> int:
        """How many there are in the process."""
        return len(self._local)

    @property
    def storage_up(self) -> bool | None:
        """Whether the shared storage answers; None where there is none."""
        return None if self._shared is None else not self._shared.away

    def take_over(self, previous: "Limits") -> None:
        """Go on with the buckets in the process as full as they are; those of rules that changed have other names."""
        previous._local.resize(self._local)  # noqa: SLF001 - one of its own kind
        self._local = previous._local  # noqa: SLF001 - one of its own kind
        self._noted = previous._noted  # noqa: SLF001 - one of its own kind
        self.would_have_refused = previous.would_have_refused

    async def close(self) -> None:
        """Close the storage's connections."""
        if self._shared is not None:
            await self._shared.close()


def _shared(settings: Settings, report: Callable[[str], None]) -> Shared | None:
    """The storage that is configured, if it is shared with other processes."""
    limits = settings.limits
    if limits.storage == "memory://":
        return None
    if limits.storage.startswith(MACHINE):
        named = limits.storage.removeprefix(MACHINE)
        folder = Path(named) if named else settings.state / "machine"
        try:
            return TokenBucketMachineStorage(
                folder, maximum_buckets=limits.maximum_buckets, timeout=limits.timeout, report=report
            )
        except StoreError as wrong:
            raise ValueError(f"limits.storage: {wrong}") from None
    password = None if limits.password is None else secrets.read(limits.password)
    return TokenBucketRedisStorage(limits.storage, password=password, timeout=limits.timeout, report=report)


def _with_shadow(status: LimitStatus | None, shadow: tuple[str, ...]) -> LimitStatus:
    """The status with more rules noted that would have refused."""
    if status is None:
        return LimitStatus("", 0, 0, 0.0, shadow=shadow)
    return LimitStatus(status.name, status.limit, status.remaining, status.reset, status.window, shadow + status.shadow)
