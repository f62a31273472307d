"""Nonces for proofs (RFC 9449 §8, §9): a proof that holds one was made after we gave it out.

Nobody keeps them. A nonce is an HMAC over the number of the stretch of time that it is for, under a secret that all
workers, and all machines, have in common: each of them knows what another one gave out.
"""

import hmac
from enum import Enum

from ztproxy.identity.strict_json import encode_base64url

_CONTEXT = b"ztproxy DPoP nonce\0"
_OCTETS = 18
"""Of the HMAC that are given out: 144 bits."""


class Standing(Enum):
    """What a nonce is worth."""

    CURRENT = "current"
    PASSING = "passing"
    """Still good; its holder is given the next one."""
    WORTHLESS = "worthless"


class Nonces:
    """Makes nonces and knows them again.

    Args:
        secret: shared by all who have to know them.
        rotation: seconds after which another one is given out. One counts for at least as long, and at most for twice
            that, apart from clocks that differ.
    """

    def __init__(self, secret: bytes, rotation: float) -> None:
        self._secret = secret
        self._rotation = rotation
        self._number = -1
        self._around: tuple[str, str, str] = ("", "", "")

    def current(self, wall: float) -> str:
        """The nonce to give out; `wall` in seconds since 1970."""
        return self._at(wall)[1]

    def standing(self, nonce: object, wall: float) -> Standing:
        """What a proof's claim `nonce` is worth."""
        if not isinstance(nonce, str):
            return Standing.WORTHLESS
        previous, current, following = self._at(wall)
        given = nonce.encode("utf-8", "surrogatepass")
        # The next one is known to nobody yet but to those whom a machine with a clock ahead of ours gave it.
        if hmac.compare_digest(given, current.encode()) or hmac.compare_digest(given, following.encode()):
            return Standing.CURRENT
        return Standing.PASSING if hmac.compare_digest(given, previous.encode()) else Standing.WORTHLESS

    def _at(self, wall: float) -> tuple[str, str, str]:
        """The nonces of the stretch before, of this one, and of the next."""
        number = int(wall // self._rotation)
        if number != self._number:
            self._number = number
            self._around = (self._made(number - 1), self._made(number), self._made(number + 1))
        return self._around

    def _made(self, number: int) -> str:
        digest = hmac.digest(self._secret, _CONTEXT + number.to_bytes(8, "big", signed=True), "sha256")
        return encode_base64url(digest[:_OCTETS])
