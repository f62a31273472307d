"""Groups and roles out of an issuer's claims: a list of names, or nothing at all."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ztproxy.claim_path import claim_at
from ztproxy.config.groups import MAXIMUM_GROUP, Groups
from ztproxy.config.settings import Issuer

MAXIMUM_GROUPS = 1024
Belonging = tuple[tuple[str, ...], tuple[str, ...]]
"""Groups and roles, each sorted and without repetition."""
NOWHERE: Belonging = ((), ())
_log = logging.getLogger("ztproxy.identity")


class GroupMapping:
    """One issuer's. What cannot be read gives no groups: it is counted, and said once."""

    def __init__(self, issuer: str, configured: Groups) -> None:
        self._issuer = issuer
        self._configured = configured
        self.unreadable = 0
        """Tokens whose claim was there and no list of names."""

    def of(self, claims: Mapping[str, Any]) -> Belonging:
        """What the claims of a verified token give."""
        listed = claim_at(claims, self._configured.path)
        if listed is None:
            return NOWHERE
        found = belonging(listed, self._configured)
        if found is not None:
            return found
        if not self.unreadable:
            _log.warning(
                "tokens of %s: the claim %s is no list of at most %d names, so these tokens give no groups",
                self._issuer,
                ".".join(self._configured.path),
                MAXIMUM_GROUPS,
            )
        self.unreadable += 1
        return NOWHERE


def mappings_of(issuers: Iterable[Issuer]) -> dict[str, GroupMapping]:
    """By issuer whose claims say anything about groups."""
    return {one.issuer: GroupMapping(one.issuer, one.groups) for one in issuers if one.groups is not None}


def belonging(listed: object, configured: Groups) -> Belonging | None:
    """Groups and roles out of a claim's value; None where it is no list of names, or too long a one."""
    if not isinstance(listed, list) or len(listed) > MAXIMUM_GROUPS or not all(map(_is_name, listed)):
        return None
    names: set[str] = set(listed)
    if configured.map:
        kept = names if configured.unmapped == "keep" else names & configured.map.keys()
        names = {configured.map.get(name, name) for name in kept}
    roles = (role for role, groups in configured.roles.items() if not names.isdisjoint(groups))
    return tuple(sorted(names)), tuple(sorted(roles))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAXIMUM_GROUP and value.isprintable()
