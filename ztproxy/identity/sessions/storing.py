"""Where sessions are kept, opened as configured."""

import sys
from collections.abc import Callable

from ztproxy.config import secrets
from ztproxy.config.sessions import Sessions as SessionSettings
from ztproxy.config.settings import Settings
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.sessions.service import Sessions
from ztproxy.identity.tokens.groups import mappings_of
from ztproxy.store.records import Records
from ztproxy.store.records_memory import MemoryRecords
from ztproxy.store.records_redis import RedisRecords
from ztproxy.store.records_sqlite import SqliteRecords
from ztproxy.store.ring import load_or_create
from ztproxy.store.shared_records import SharedRecords
from ztproxy.store.unusable import StoreError


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"ztproxy: {line}\n")


def build(settings: Settings, clock: Clock, report: Callable[[str], None] = _to_stderr) -> Sessions | None:
    """The sessions, None where nobody logs in. Raises `IdentityConfigError`."""
    if not settings.login:
        return None
    clients = {login.issuer: login.client_id for login in settings.login}
    try:
        ring = load_or_create(settings.sessions.ring(settings.state), create=not settings.sessions.of_machines)
        records = SharedRecords(open_records(settings.sessions, report))
    except (StoreError, ValueError, LookupError, OSError) as wrong:
        raise IdentityConfigError("sessions", str(wrong)) from None
    return Sessions(records, ring, settings.sessions, clients, clock, groups=mappings_of(settings.issuers))


def open_records(settings: SessionSettings, report: Callable[[str], None]) -> Records:
    """The store. Raises `StoreError`, ValueError, LookupError or OSError."""
    if settings.file is not None:
        return SqliteRecords(settings.file, maximum=settings.maximum, timeout=settings.timeout)
    if settings.of_machines:
        password = None if settings.password is None else secrets.read(settings.password)
        authorities = "".join(path.read_text() for path in settings.authorities) or None
        return RedisRecords(
            settings.storage, password=password, authorities=authorities, timeout=settings.timeout, report=report
        )
    return MemoryRecords(settings.maximum)
