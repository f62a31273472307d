"""The issuer's answer: the browser comes back with a code, and leaves with a session.

Whatever is wrong with the answer, there is no session; and nothing of it is believed that the browser which began the
login did not bring along (login CSRF, code injection, mix-up: RFC 9700 §4).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ztproxy.identity.login import authorization, transaction
from ztproxy.identity.login.answers import away, failed
from ztproxy.identity.login.arriving import arrive, begin, too_weak, unavailable
from ztproxy.identity.login.authorization import Denied, code_of, read_query, redirect_uri
from ztproxy.identity.login.context import Context, LoginIssuer
from ztproxy.identity.login.grants import Away, GrantDenied, Tokens
from ztproxy.identity.login.handover import hand_over
from ztproxy.identity.login.id_token import Awaited, Unsound
from ztproxy.identity.login.made import known, session
from ztproxy.identity.login.once import first_time
from ztproxy.identity.login.transaction import LIFETIME, Transaction
from ztproxy.identity.metadata import Metadata
from ztproxy.model import Answer, Arrived, Reason, Refusal, StepUp
from ztproxy.store.records import RecordsUnavailableError

_USED = b"u"
"""What the keys of records about logins that are over begin with."""
_START_AGAIN = (
    "This login was not begun in this browser, or it took too long, or it is over already. Please start again from the "
    "page that you wanted."
)
_DOES_NOT_HOLD = "The identity provider's answer does not hold, so nobody was logged in."
_SAID: dict[str, str] = {
    "access_denied": "The identity provider did not let you in, or you changed your mind there.",
    "login_required": "The identity provider wants you to log in there first.",
    "interaction_required": "The identity provider has a question for you first.",
    "consent_required": "The identity provider needs your consent first.",
    "account_selection_required": "The identity provider wants you to choose an account first.",
}
_TOO_WEAK = "unmet_authentication_requirements"
"""OpenID Connect Core Unmet Authentication Requirements 1.0."""
_BUSY = frozenset({"server_error", "temporarily_unavailable"})
_BAD_GATEWAY, _BAD_REQUEST = 502, 400


class Callback(msgspec.Struct, frozen=True):
    """Meets what comes back from issuers."""

    context: Context

    async def __call__(self, arrived: Arrived) -> Answer | Refusal:
        """A session and the way to the page that was asked for; or why not."""
        if arrived.method != "GET" or not self.context.logs_in_at(arrived):
            return Refusal(Reason.ROUTE_NOT_FOUND)
        returned = read_query(arrived.query)
        if returned is None:
            return failed(_START_AGAIN, "no answer of an issuer", retry="/", status=_BAD_REQUEST)
        host = arrived.authority.decode("ascii")
        found = transaction.recalled(self.context.ring, returned.state, host, arrived.own_cookies, arrived.wall)
        if found is None:
            return failed(_START_AGAIN, "no cookie of this login", retry="/", status=_BAD_REQUEST)
        gone = transaction.forgotten(found.state)
        met = await self._returned(arrived, returned, found)
        return msgspec.structs.replace(met, fields=(*met.fields, *gone))

    async def _returned(
        self, arrived: Arrived, returned: authorization.Returned, found: Transaction
    ) -> Answer | Refusal:
        issuer = self.context.counts(found.route, found.issuer, found.client_id)
        if issuer is None:
            return failed(_START_AGAIN, "the configuration has changed meanwhile", retry=found.returns)
        metadata = await issuer.metadata.get(arrived.wall, arrived.monotonic)
        if isinstance(metadata, Refusal):
            return away(metadata.cause, retry=found.returns)
        code = code_of(returned, found, metadata)
        if isinstance(code, Denied):
            return denied(code, found, returned.parameters.get("error_description", ""))
        tokens = await issuer.endpoints.grant(
            metadata,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri(found.host),
                "code_verifier": found.verifier,
            },
        )
        if isinstance(tokens, Away):
            return away(tokens.cause, retry=found.returns)
        if isinstance(tokens, GrantDenied):
            return failed(_DOES_NOT_HOLD, tokens.cause, retry=found.returns)
        return await self._granted(arrived, issuer, metadata, tokens, found)

    async def _granted(
        self, arrived: Arrived, issuer: LoginIssuer, metadata: Metadata, tokens: Tokens, found: Transaction
    ) -> Answer | Refusal:
        wanted = found.wanted
        awaited = Awaited(
            found.issuer, found.client_id, found.nonce, tokens.access_token, auth_time=wanted.max_age is not None
        )
        who = await known(issuer, metadata, tokens, awaited, self.context.clock)
        if isinstance(who, Away):
            return away(who.cause, retry=found.returns)
        if isinstance(who, Unsound):
            if who.away is not None:
                return away(who.cause, retry=found.returns)
            return failed(_DOES_NOT_HOLD, who.cause, retry=found.returns, status=_BAD_GATEWAY)
        now = self.context.clock.wall()
        if not wanted.met(who.claims, now):
            return too_weak(_what_came(who.claims, wanted), found)
        try:
            until = found.started_at + LIFETIME
            if not await first_time(self.context, _USED, found.state.encode(), until=until, now=now):
                return failed(_START_AGAIN, "this login is over already", retry=found.returns, status=_BAD_REQUEST)
        except RecordsUnavailableError as wrong:
            return unavailable(wrong)
        binding = self.context.sessions.binding(arrived)
        made = session(
            who,
            tokens,
            client_id=found.client_id,
            host=arrived.host,
            route=found.route,
            certificate=binding,
            now=now,
        )
        fields = await begin(self.context, arrived, made, now)
        if isinstance(fields, Refusal):
            return fields
        if found.waits_for is not None:
            return await hand_over(self.context, found.waits_for, made, fields, now)
        return await arrive(self.context, arrived, found, fields, now)


def denied(said: Denied, found: Transaction, description: str) -> Refusal:
    """What the issuer's error means to the person."""
    if said.error == _TOO_WEAK:
        return too_weak(said.cause, found)
    if said.error in _BUSY:
        return away(said.cause, retry=found.returns)
    detail = _SAID.get(said.error, _DOES_NOT_HOLD)
    if about := authorization.printable(description).strip():
        detail += f" It says: {about}"
    return failed(detail, said.cause, retry=found.returns)


def _what_came(claims: Mapping[str, Any], wanted: StepUp) -> str:
    acr, at = claims.get("acr"), claims.get("auth_time")
    return f"asked for {wanted}, and the ID token has acr {acr!r} and auth_time {at!r}"
