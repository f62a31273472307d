"""The issuer says that somebody has logged out there (OpenID Connect Back-Channel Logout 1.0 §2.5).

Whoever asks is nobody: the logout token alone counts, by its signature, and once.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ztproxy.identity.login.arriving import unavailable
from ztproxy.identity.login.context import Context, LoginIssuer
from ztproxy.identity.login.id_token import is_time
from ztproxy.identity.login.navigation import values
from ztproxy.identity.login.once import first_time
from ztproxy.identity.tokens import LOGOUT_KINDS, MAXIMUM_TOKEN, UnverifiedToken, is_name, take_apart
from ztproxy.model import Answer, Arrived, Met, Reason, Refusal, WithContent
from ztproxy.store.records import RecordsUnavailableError

PATH = "/.well-known/ztproxy/backchannel-logout"
FRESH = 300.0
"""Seconds that a logout token may be old."""
_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_SEEN = b"j"
"""What the keys of records about logout tokens begin with."""
_NO_STORE = (b"cache-control", b"no-store")
_MAXIMUM = 2 * MAXIMUM_TOKEN


class BackChannel(msgspec.Struct, frozen=True):
    """Meets issuers that report a logout."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Met:
        """200 once the sessions are over; 400 for what does not hold."""
        kinds = values(arrived, b"content-type")
        if arrived.method != "POST" or not self.context.logs_in_at(arrived):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        if [kind.partition(b";")[0].strip().lower() for kind in kinds] != [b"application/x-www-form-urlencoded"]:
            return _refused("the content is no form")

        async def answer(content: bytes) -> Answer | Refusal:
            return await self._told(content, arrived)

        return WithContent(_MAXIMUM, answer, arrived)

    async def _told(self, content: bytes, arrived: Arrived) -> Answer | Refusal:
        try:
            pairs = parse_qsl(content.decode("ascii"), max_num_fields=8)
        except ValueError:
            pairs = []
        tokens = [value for name, value in pairs if name == "logout_token"]
        if len(tokens) != 1 or not tokens[0].isascii() or len(tokens[0]) > MAXIMUM_TOKEN:
            return _refused("the form has no `logout_token`, or several")
        octets = tokens[0].encode("ascii")
        unverified = take_apart(octets, hashlib.sha256(octets).digest(), LOGOUT_KINDS)
        if isinstance(unverified, Refusal):
            return _refused(unverified.detail)
        issuer = self.context.issuers.get(unverified.issuer)
        if issuer is None:
            return _refused("nobody logs in at the token's issuer")
        wrong = await _unproven(unverified, issuer, arrived)
        if wrong is not None:
            return wrong
        return await self._ended(unverified.claims, issuer, arrived.wall)

    async def _ended(self, claims: Mapping[str, Any], issuer: LoginIssuer, now: float) -> Answer | Refusal:
        name = issuer.config.issuer
        said = msgspec.json.encode((name, claims["jti"]))
        until = claims["iat"] + FRESH + issuer.trusted.expected.leeway + 1
        try:
            if not await first_time(self.context, _SEEN, said, until=until, now=now):
                return _refused("the token was used already")
        except RecordsUnavailableError as wrong:
            return unavailable(wrong)
        ended = await self.context.sessions.end_owned(
            name, op_session=claims.get("sid"), subject=claims.get("sub"), now=now
        )
        return ended if isinstance(ended, Refusal) else Answer(200, (_NO_STORE,), b"")


async def _unproven(unverified: UnverifiedToken, issuer: LoginIssuer, arrived: Arrived) -> Refusal | None:
    """Why a logout token does not hold; None where it does."""
    trusted = issuer.trusted
    if unverified.algorithm not in trusted.algorithms:
        return _refused("its algorithm is none of the issuer's `algorithms`")
    key = await trusted.store.find(unverified.key_id, unverified.algorithm, arrived.wall, arrived.monotonic)
    if isinstance(key, Refusal):
        return key if key.status == 503 else _refused(key.reason.word)  # noqa: PLR2004 - Service Unavailable
    if not key.verifies(unverified.algorithm, unverified.signed, unverified.signature):
        return _refused("its signature does not verify")
    wrong = _unfit(unverified.claims, issuer.config.client_id, arrived.wall, trusted.expected.leeway)
    return None if wrong is None else _refused(wrong)


def _unfit(claims: Mapping[str, Any], client_id: str, now: float, leeway: float) -> str | None:
    """What is wrong with the claims that make a token a logout token (§2.4)."""
    audience = claims["aud"] if isinstance(claims.get("aud"), list) else [claims.get("aud")]
    if client_id not in audience:
        return "it is for somebody else"
    if not is_time(claims.get("iat")) or not -leeway <= now - claims["iat"] <= FRESH + leeway:
        return "it does not say when it was made, or was not made just now"
    if "exp" in claims and not (is_time(claims["exp"]) and now < claims["exp"] + leeway):
        return "it has expired"
    if not is_name(claims.get("jti")):
        return "it has no `jti`"
    events = claims.get("events")
    if not isinstance(events, dict) or set(events) != {_EVENT} or not isinstance(events[_EVENT], dict):
        return "its `events` are not those of a logout"
    if "nonce" in claims:
        return "it has a `nonce`, as an ID token"
    said = [claims[name] for name in ("sub", "sid") if name in claims]
    if not said or not all(map(is_name, said)):
        return "it has neither `sub` nor `sid`, or one that is no name"
    return None


def _refused(cause: str) -> Refusal:
    return Refusal(Reason.LOGOUT_REFUSED, cause=cause)
