"""Heads of responses that come again to the octet: llhttp reads each once, and then it is known what they say.

A server repeats its heads as long as its clock shows the same second and its answers have the same fields. What a head
says is a function of its octets alone where the request was none of those that change how a response is read (HEAD, a
switch of protocols), so the same octets say the same; the content must be there whole, and of the length declared.
"""

from ztproxy.upstream.response_fields import Head

MAXIMUM = 1024
"""Heads that are known; when there are more, it begins anew."""
LONGEST = 2048
"""Octets of a head that is worth knowing."""
_EMPTY_LINE = b"\r\n\r\n"


class Response:
    """A response that arrived whole."""

    __slots__ = ("content", "head", "status")

    def __init__(self, status: int, head: Head, content: bytes) -> None:
        self.status = status
        self.head = head
        self.content = content


class RepeatedHeads:
    """What heads say that were read before."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, Head]] = {}

    def recall(self, data: bytes) -> Response | None:
        """The response that these octets are, whole and no more, where its head is known."""
        at = data.find(_EMPTY_LINE, 0, LONGEST)
        if at < 0:
            return None
        known = self._known.get(data[: at + 4])
        if known is None or len(data) - at - 4 != known[1].length:
            return None
        return Response(known[0], known[1].copy(), data[at + 4 :])

    def learn(self, data: bytes, status: int, head: Head) -> None:
        """Octets that llhttp has just read as one whole response after which the connection goes on."""
        at = data.find(_EMPTY_LINE, 0, LONGEST)
        if at < 0 or len(data) - at - 4 != head.length:
            return
        if len(self._known) >= MAXIMUM:
            self._known.clear()
        self._known[data[: at + 4]] = (status, head.copy())
