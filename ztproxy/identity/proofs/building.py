"""How proofs of possession are judged, as configured: the secret of nonces, and the store of used proofs."""

import logging
from collections.abc import Callable
from pathlib import Path

from ztproxy.config import secrets
from ztproxy.config.dpop import Dpop
from ztproxy.config.settings import Settings
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.proofs.nonces import Nonces
from ztproxy.identity.proofs.possession import Possession
from ztproxy.identity.proofs.replays import MemoryReplays, Replays
from ztproxy.identity.proofs.replays_machine import MachineReplays
from ztproxy.identity.proofs.replays_redis import RedisReplays
from ztproxy.store import StoreError
from ztproxy.store.kept_secret import kept_secret

_MACHINE = "machine://"
_FILE = "dpop.key"
_LEAST = 16
"""Octets of a secret."""
_log = logging.getLogger("ztproxy.identity")


def possession_of(settings: Settings, wall: Callable[[], float]) -> Possession | None:
    """As configured; None where proofs are not understood. Raises `IdentityConfigError`."""
    dpop = settings.dpop
    if dpop is None:
        return None
    return Possession(
        frozenset(dpop.algorithms),
        dpop.maximum_age,
        dpop.leeway,
        Nonces(_secret(dpop, settings.state), dpop.nonce_rotation) if dpop.nonce == "required" else None,
        _replays(dpop, settings.state, wall),
        source=(dpop.replay, dpop.lasting),
    )


def _secret(dpop: Dpop, state: Path) -> bytes:
    try:
        if dpop.secret is None:
            return kept_secret(state / _FILE)
        secret = secrets.read(dpop.secret).encode()
    except (StoreError, LookupError, OSError, UnicodeError) as wrong:
        raise IdentityConfigError("dpop.secret", str(wrong)) from None
    if len(secret) < _LEAST:
        raise IdentityConfigError("dpop.secret", f"a secret of nonces has {_LEAST} octets or more")
    return secret


def _replays(dpop: Dpop, state: Path, wall: Callable[[], float]) -> Replays:
    if dpop.replay == "memory://":
        return MemoryReplays(dpop.maximum_proofs, dpop.lasting, wall)
    if dpop.replay.startswith(_MACHINE):
        named = dpop.replay.removeprefix(_MACHINE)
        try:
            return MachineReplays(
                Path(named) if named else state / "machine",
                maximum=dpop.maximum_proofs,
                lasting=dpop.lasting,
                timeout=dpop.timeout,
                wall=wall,
                report=_log.warning,
            )
        except StoreError as wrong:
            raise IdentityConfigError("dpop.replay", str(wrong)) from None
    try:
        password = None if dpop.password is None else secrets.read(dpop.password)
        return RedisReplays(
            dpop.replay,
            password=password,
            lasting=dpop.lasting,
            timeout=dpop.timeout,
            report=_log.warning,
            wall=wall,
        )
    except (LookupError, OSError, ValueError) as wrong:
        raise IdentityConfigError("dpop.replay", str(wrong)) from None
