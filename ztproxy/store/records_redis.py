"""Records in Redis, shared by all machines that reach it: each operation is one script, and one step for everybody.

The server must answer, and must not make room by letting go of what still counts.
"""

import secrets
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection

from ztproxy.store.records import FIRST_VERSION_BITS, Page, Record, RecordsUnavailableError, checked
from ztproxy.store.rounds import Argument, RedisAwayError, Rounds

_SCRIPT = files("ztproxy.store").joinpath("records.lua").read_text()
_PREFIX = "ztproxy:records:"
_FIELDS = 3


class RedisRecords:
    """A `Records` of all that share a server and database. How many it holds, the server's own memory bounds.

    Args:
        url: redis:// or rediss://, without password and query.
        password: the server's, if it has one.
        authorities: PEM of those that its certificate may be from; the system's when absent.
        timeout: longest wait for an answer, connecting included, in seconds.
        report: told when the server goes away and when it is back.

    Raises:
        ValueError: the URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        authorities: str | None = None,
        timeout: float = 0.5,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        # A kept connection may have died with its server: one more attempt. What is done twice errs to the safe side:
        # what may be there once is found there, what may be taken once is found gone.
        retry = Retry(NoBackoff(), 1, supported_errors=(LostConnection,))
        options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": retry}
        if password is not None:
            options["password"] = password
        if url.startswith("rediss:"):
            options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_data": authorities}
        client: Redis = Redis.from_url(url, **options)
        self._rounds = Rounds(client, _SCRIPT, timeout=timeout, name="sessions", report=report, fit=never_forgets)

    async def get(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        return _record(await self._ask("get", now, [_name(key)]))

    async def add(self, key: bytes, value: bytes, until: float, now: float, owners: Sequence[bytes] = ()) -> bool:
        """See `Records`."""
        checked(key, value, owners)
        if until <= now:
            return await self.get(key, now) is None
        keys = [_name(key), _kind(key[:1]), *map(_owner, owners)]
        version = secrets.randbits(FIRST_VERSION_BITS)
        return await self._ask("add", now, keys, value, version, _milliseconds(until)) == 1

    async def replace(self, key: bytes, version: int, value: bytes, until: float, now: float) -> bool:
        """See `Records`."""
        checked(key, value)
        return await self._ask("replace", now, [_name(key)], version, version + 1, value, _milliseconds(until)) == 1

    async def take(self, key: bytes, now: float) -> Record | None:
        """See `Records`."""
        return _record(await self._ask("take", now, [_name(key)]))

    async def remove(self, key: bytes) -> bool:
        """See `Records`."""
        return await self._ask("remove", 0.0, [_name(key)]) == 1

    async def owned(self, owner: bytes, now: float) -> Sequence[bytes]:
        """See `Records`."""
        return tuple(map(_key, _list(await self._ask("owned", now, [_owner(owner)]))))

    async def listed(self, kind: bytes, cursor: bytes, most: int, now: float) -> Page:
        """See `Records`."""
        answer = _list(await self._ask("listed", now, [_kind(kind)], cursor or b"0", most))
        after, found = answer
        if not isinstance(after, bytes) or not isinstance(found, list):
            raise RecordsUnavailableError(f"redis answered {answer!r}")
        keys = [_key(name) for name in found[::2]]  # each with its score
        records = [(key, await self.get(key, now)) for key in keys]
        counting = tuple((key, record) for key, record in records if record is not None)
        return Page(counting, None if after == b"0" else after)

    async def count(self, kind: bytes, now: float) -> int:
        """See `Records`."""
        answer = await self._ask("count", now, [_kind(kind)])
        return answer if isinstance(answer, int) else 0

    async def close(self) -> None:
        """See `Records`."""
        await self._rounds.close()

    async def _ask(self, operation: str, now: float, keys: Sequence[str], *arguments: Argument) -> object:
        try:
            return await self._rounds.ask(keys, (operation, _milliseconds(now), *arguments))
        except RedisAwayError as wrong:
            raise RecordsUnavailableError(str(wrong)) from None


async def never_forgets(server: Redis) -> None:
    """Refuse a server that makes room by letting go of records: what was used once could be used again."""
    memory = await server.info("memory")
    policy = memory.get("maxmemory_policy")
    if memory.get("maxmemory") and policy != "noeviction":
        raise RedisAwayError(f"its maxmemory-policy is {policy}: it would lose sessions and used codes; set noeviction")


def _name(key: bytes) -> str:
    return _PREFIX + key.hex()


def _owner(owner: bytes) -> str:
    return f"{_PREFIX}owner:{owner.hex()}"


def _kind(kind: bytes) -> str:
    return f"{_PREFIX}kind:{kind.hex()}"


def _key(name: object) -> bytes:
    if not isinstance(name, bytes):
        raise RecordsUnavailableError(f"redis answered {name!r}")
    return bytes.fromhex(name.decode().removeprefix(_PREFIX))


def _list(answer: object) -> list[object]:
    if not isinstance(answer, list):
        raise RecordsUnavailableError(f"redis answered {answer!r}")
    return answer


def _record(answer: object) -> Record | None:
    fields = _list(answer)
    if not fields:
        return None
    value, version, until = fields if len(fields) == _FIELDS else (None, None, None)
    if not (isinstance(value, bytes) and isinstance(version, bytes) and isinstance(until, bytes)):
        raise RecordsUnavailableError("redis answered with no record")
    return Record(value, int(version), int(until) / 1000)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
