"""WebSocket frames as they pass: only as much of them as it takes to end a connection between two (RFC 6455 §5.2).

What a frame holds is the two ends' own affair.
"""

from enum import IntEnum

_CLOSE_OPCODE = 8
_FINAL_CLOSE = 0x88
_EXTENDED = 126
"""From here on a length octet says how many octets of length follow, or that a mask does."""
_LENGTHS = {126: 2, 127: 8}
_LONGEST_REASON = 123
"""A control frame's payload is at most 125 octets, two of them the code (RFC 6455 §5.5)."""


class CloseCode(IntEnum):
    """Why we end a WebSocket (RFC 6455 §7.4.1)."""

    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008


class Frames:
    """Follows a server's frames: where one ends, and whether it has said its last word."""

    __slots__ = ("_head", "_left", "closing")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closing = False
        """The server has sent a Close frame, after which no other may follow."""

    @property
    def between(self) -> bool:
        """No frame is half way through."""
        return not self._left and not self._head

    def pass_on(self, data: bytes) -> None:
        """These octets go to the client."""
        if self._head:
            data, self._head = self._head + data, b""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                passed = min(self._left, size - at)
                self._left -= passed
                at += passed
            elif size - at > 1 and (short := data[at + 1]) < _EXTENDED:
                self.closing = self.closing or data[at] & 0x0F == _CLOSE_OPCODE
                self._left = short
                at += 2
            elif (begins := _payload_at(data, at)) > size:
                self._head = data[at:]
                return
            else:
                self.closing = self.closing or data[at] & 0x0F == _CLOSE_OPCODE
                self._left = _payload_length(data, at)
                at = begins


def close_frame(code: CloseCode, reason: str) -> bytes:
    """A Close frame as a server sends it, unmasked."""
    payload = int(code).to_bytes(2, "big") + reason.encode("ascii", "replace")[:_LONGEST_REASON]
    return bytes((_FINAL_CLOSE, len(payload))) + payload


def _payload_at(data: bytes, at: int) -> int:
    """Where the payload begins of the frame that begins at `at`; beyond the data's end while that cannot be told."""
    if len(data) < at + 2:
        return len(data) + 1
    length = data[at + 1] & 0x7F
    extended = _LENGTHS.get(length, 0)
    return at + 2 + extended + (4 if data[at + 1] & 0x80 else 0)


def _payload_length(data: bytes, at: int) -> int:
    length = data[at + 1] & 0x7F
    extended = _LENGTHS.get(length, 0)
    return int.from_bytes(data[at + 2 : at + 2 + extended], "big") if extended else length
