"""Asking an issuer about tokens (RFC 7662): each at most once at a time, so many at once, and never without an end.

What cannot be asked is refused, with a reason of its own: nobody is let in because an endpoint is away.
"""

import asyncio
import logging
from collections import Counter, OrderedDict

from ztproxy.config.introspection import Introspection
from ztproxy.identity.issuers.client_authentication import ClientAuthentication
from ztproxy.identity.issuers.discovery import MetadataStore
from ztproxy.identity.issuers.fetching import Fetcher, FetchError
from ztproxy.identity.issuers.kept import RETRY_AFTER, Clock
from ztproxy.identity.strict_json import MalformedError
from ztproxy.identity.tokens.claims import Expected
from ztproxy.identity.tokens.introspected import Said, accept_said, confirm, read_answer
from ztproxy.identity.waiting import end_of
from ztproxy.model import Reason, Refusal, Token

MAXIMUM_WAITING = 1024
"""Tokens that are being asked about or wait for it, in a process; more are refused at once."""
MAXIMUM_REFUSED = 65536
REFUSED_FOR = 10.0
"""Seconds that a refusal is remembered at most: tokens are refused sooner than they come to be known."""
_OK = 200
_SAID_EVERY = 10.0
"""Seconds between two lines in the log about one issuer's failures."""
_log = logging.getLogger("ztproxy.identity")
_INACTIVE = Refusal(Reason.TOKEN_INACTIVE)


class Introspector:
    """One issuer's word on tokens. Make one for each issuer that is asked.

    Args:
        issuer: who is asked.
        settings: where, how often, how many at once.
        client: who asks.
        fetcher: how; used by nothing else.
        metadata: says where, when `settings` do not.
        expected: what the issuer's tokens must say.
        clock: what time it is.
    """

    def __init__(
        self,
        issuer: str,
        settings: Introspection,
        client: ClientAuthentication,
        fetcher: Fetcher,
        *,
        metadata: MetadataStore,
        expected: Expected,
        clock: Clock,
    ) -> None:
        self.issuer = issuer
        self.settings = settings
        self.outcomes: Counter[str] = Counter()
        """Questions by how they ended: `active`, `inactive`, `failed`, or `refused` because too many wait."""
        self.last_failure = ""
        """Of the last question, if it failed."""
        self._client, self._fetcher, self._metadata = client, fetcher, metadata
        self._expected, self._clock = expected, clock
        self._slots = asyncio.Semaphore(settings.maximum_in_flight)
        self._running: dict[bytes, asyncio.Task[Said | Refusal]] = {}
        self._refused: OrderedDict[bytes, tuple[float, Refusal]] = OrderedDict()
        """By the token's hash: until when (monotonic), and why."""
        self._since = self._said_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Tokens that are being asked about or wait for it."""
        return len(self._running)

    def vouches(self, identity: bytes, wall: float) -> bool:  # noqa: ARG002 - as a store of keys does
        """Its word counts until its end, which stands with what is remembered."""
        return True

    def ends_at(self, said: Said, token: Token) -> float:
        """Until when its word on a token counts, in seconds since 1970."""
        if said.asked_at < self._since:
            return said.asked_at
        return min(said.asked_at + self.settings.cache, token.expires_at + self._expected.leeway)

    def refused(self, digest: bytes, monotonic: float) -> Refusal | None:
        """Why a token was refused a moment ago, if it was."""
        found = self._refused.get(digest)
        if found is None:
            return None
        if monotonic < found[0]:
            return found[1]
        del self._refused[digest]
        return None

    async def ask(self, token: bytes, digest: bytes, monotonic: float) -> tuple[Token, Said] | Refusal:
        """What token it is, when the issuer knows it and it is one for us.

        Refuses with a reason that starts with `TOKEN_`, or with `INTROSPECTION_UNAVAILABLE`.
        """
        said = await self._said(token, digest, monotonic)
        if isinstance(said, Refusal):
            return said
        found = accept_said(
            said,
            digest,
            self.issuer,
            self._expected,
            cache=self.settings.cache,
            client_as_subject=self.settings.client_as_subject,
        )
        return self._remember_refused(digest, found) if isinstance(found, Refusal) else (found, said)

    async def confirm(self, token: bytes, signed: Token, monotonic: float) -> tuple[Token, Said] | Refusal:
        """The same token, when the issuer still says that it is good. Refuses as `ask` does."""
        said = await self._said(token, signed.digest, monotonic)
        if isinstance(said, Refusal):
            return said
        refusal = confirm(said, signed, self.issuer)
        return (signed, said) if refusal is None else self._remember_refused(signed.digest, refusal)

    def forget(self) -> None:
        """Ask anew about every token; a question under way was asked too early to be remembered."""
        self._since = self._clock.wall()
        self._refused.clear()

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fetcher.close()

    # -- one question

    async def _said(self, token: bytes, digest: bytes, monotonic: float) -> Said | Refusal:
        """Its word on a token, asked once however many wait for it."""
        if refusal := self.refused(digest, monotonic):
            return refusal
        task = self._running.get(digest)
        if task is None:
            if len(self._running) >= MAXIMUM_WAITING:
                self.outcomes["refused"] += 1
                return self._unavailable("too many tokens wait to be asked about")
            task = asyncio.get_running_loop().create_task(self._ask(token, digest))
            self._running[digest] = task
        await end_of(task)
        return self._unavailable("the proxy takes up another configuration") if task.cancelled() else task.result()

    async def _ask(self, token: bytes, digest: bytes) -> Said | Refusal:
        try:
            async with asyncio.timeout(self.settings.timeout), self._slots:
                asked_at = self._clock.wall()
                body = await self._post(token, asked_at)
            claims = read_answer(body)
        except TimeoutError:
            return self._failed(f"no answer within {self.settings.timeout:g} s")
        except FetchError as wrong:
            return self._failed(str(wrong))
        except MalformedError as wrong:
            return self._failed(f"the answer cannot be read: {wrong}")
        finally:
            self._running.pop(digest, None)
        self.last_failure = ""
        self.outcomes["inactive" if claims is None else "active"] += 1
        return self._remember_refused(digest, _INACTIVE) if claims is None else Said(claims, asked_at, len(body))

    async def _post(self, token: bytes, now: float) -> bytes:
        """The octets of the answer. Raises `FetchError`."""
        endpoint = await self._endpoint(now)
        shown = self._client.show(endpoint, now)
        form = {"token": token.decode("ascii"), "token_type_hint": "access_token", **shown.form}
        answer = await self._fetcher.post(endpoint, form, shown.headers)
        if answer.status != _OK:
            how = f"asked by {self._client.method} as {self._client.client_id}; redirects are not followed"
            raise FetchError(f"{endpoint} answered {answer.status}, {how}")
        if answer.media_type != "application/json":
            raise FetchError(f"{endpoint} answered in {answer.media_type}, not in application/json")
        return answer.body

    async def _endpoint(self, now: float) -> str:
        if self.settings.endpoint is not None:
            return self.settings.endpoint
        metadata = await self._metadata.get(now, self._clock.monotonic())
        if isinstance(metadata, Refusal):
            raise FetchError(metadata.cause)
        found = metadata.endpoint("introspection_endpoint", by_certificate=self._client.by_certificate)
        if found is None:
            raise FetchError(f"{self.issuer} names no `introspection_endpoint` in its metadata")
        return found

    def _remember_refused(self, digest: bytes, refusal: Refusal) -> Refusal:
        """For a moment, so that one who tries again and again asks the issuer once."""
        until = self._clock.monotonic() + min(self.settings.cache, REFUSED_FOR)
        self._refused[digest] = (until, refusal)
        self._refused.move_to_end(digest)
        while len(self._refused) > MAXIMUM_REFUSED:
            self._refused.popitem(last=False)
        return refusal

    def _failed(self, cause: str) -> Refusal:
        self.outcomes["failed"] += 1
        self.last_failure = cause
        now = self._clock.monotonic()
        if now - self._said_at >= _SAID_EVERY:
            self._said_at = now
            _log.warning("%s cannot be asked about tokens: %s", self.issuer, cause)
        return self._unavailable(cause)

    def _unavailable(self, cause: str) -> Refusal:
        return Refusal(Reason.INTROSPECTION_UNAVAILABLE, cause=f"{self.issuer}: {cause}", fields=RETRY_AFTER)
