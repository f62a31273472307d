"""A WebSocket handshake as both sides write it (RFC 6455 §1.3 has these octets), and frames."""

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASKED = ((b"sec-websocket-key", KEY), (b"sec-websocket-version", b"13"))
"""The fields of a request that asks to switch."""


def switch(*lines: bytes, accept: bytes = ACCEPT) -> bytes:
    """A server's 101."""
    head = (b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade")
    return b"\r\n".join((*head, b"Sec-WebSocket-Accept: " + accept, *lines, b"", b""))


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, mask: bytes = b"") -> bytes:
    """A frame (RFC 6455 §5.2); `mask` of four octets makes it a client's."""
    size = len(payload)
    masked = 0x80 if mask else 0
    length = (
        bytes([masked | size])
        if size < 126
        else bytes([masked | 126]) + size.to_bytes(2, "big")
        if size < 65536
        else bytes([masked | 127]) + size.to_bytes(8, "big")
    )
    if mask:
        payload = bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + mask + payload
