"""The configured rules, worked out once so that a request costs a lookup."""

from collections.abc import Iterable
from itertools import chain

from ztproxy.config.limits import LimitRule
from ztproxy.limits.bucket import Quota, quota
from ztproxy.limits.keys import LONGEST, Part, hashed, part
from ztproxy.limits.token_bucket import Charge
from ztproxy.model import Certificate, Token


class Rule:
    """One rule, ready to be charged."""

    __slots__ = ("_first", "_parts", "_prefix", "charged", "enforced", "local", "name", "quota", "source_only")

    def __init__(self, rule: LimitRule, prefix: str) -> None:
        """Take a rule and what tells its buckets from those of all other rules."""
        self.name = rule.name
        self.enforced = not rule.shadow
        self.charged = 0
        """Requests that fitted into their bucket."""
        self.local = rule.on_failure == "local"
        self.source_only = rule.keys == ("source.address",)
        self.quota: Quota = quota(*rule.rate, rule.burst or rule.rate.limit)
        self._prefix = prefix
        self._parts: tuple[Part, ...] = tuple(map(part, rule.keys))
        self._first = self._parts[0] if len(self._parts) == 1 else None

    def key(self, source: str, route: str, certificate: Certificate | None, token: Token | None) -> str:
        """Which bucket a request is charged to; `source` is its address's key."""
        if self._first is not None:
            key = self._prefix + self._first(source, route, certificate, token)
        else:
            key = self._prefix + "".join([part(source, route, certificate, token) for part in self._parts])
        return key if len(key) <= LONGEST else hashed(key)

    def charge(self, source: str, route: str, certificate: Certificate | None, token: Token | None) -> Charge:
        """What this rule takes from which bucket for a request."""
        return Charge(self.key(source, route, certificate, token), self.quota, 1, self.enforced)


def rules(configured: Iterable[LimitRule], route: str | None = None) -> tuple[Rule, ...]:
    """Work out the rules of a route, or those for all of them.

    Rate and burst are part of a bucket's name: a level counted by other numbers would be misread after a change.
    A rule that is written twice counts once.
    """
    scope = "*" if route is None else f"{len(route)}:{route}"
    made = []
    for rule in configured:
        limit, period = rule.rate
        made.append(Rule(rule, f"{scope}|{rule.name}|{limit}/{period:g}|{rule.burst}|{rule.shadow:d}|"))
    return tuple(made)


def by_route(
    configured: Iterable[tuple[str, Iterable[LimitRule]]], general: tuple[Rule, ...]
) -> dict[str, tuple[Rule, ...]]:
    """For each route what is charged once the request is identified: what holds everywhere, then its own."""
    return {name: tuple(chain(general, rules(own, name))) for name, own in configured}
