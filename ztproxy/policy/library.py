"""OPA as a shared library: the typed binding of native/opa/main.go.

Load it after forking, never before: the threads of the Go runtime do not survive a fork, and a child that calls into it
would hang. The binding remembers the process it was loaded in and refuses use in any other.
"""

import ctypes
import enum
import os
import sys
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

ABI = 2
"""The interface that this binding speaks; ztopa_abi() must say the same."""

MAX_RESULT = 64 << 10
"""Bytes; a longer decision is an error of the policy."""

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).with_name("_ztopa" + SUFFIX)


class Status(enum.IntEnum):
    """How an evaluation went (engine/evaluate.go)."""

    OK = 0
    UNDEFINED = 1
    FAILED = 2
    TIMED_OUT = 3
    PENDING = 4
    BUSY = 5
    BAD_HANDLE = 6
    BAD_INPUT = 7
    CLOSED = 8
    IDLE = 9


class LibraryUnavailableError(Exception):
    """The shared library is missing, of another version, or was loaded before a fork."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a policy, and where; row and col count from 1, 0 is unknown."""

    message: str
    file: str = ""
    row: int = 0
    col: int = 0
    code: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.row, self.col) if part)
        return f"{place}: {self.message}" if place else self.message


class PolicyLoadError(Exception):
    """A policy directory cannot be used; `problems` says what and where, all of it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to load and how to run it. The last three concern the whole process, and 0 leaves them as they are."""

    directory: str
    entrypoint: str
    allow_builtins: tuple[str, ...] = ()
    inline_steps: int = 1500
    """How many steps of OPA one evaluation may take on the calling thread: about a millisecond, under any load."""
    inline_ns: int = 1_000_000
    """How long it may hold that thread: so much by the clock, and as much again of the processor."""
    max_pending: int = 64
    """Evaluations under way off the calling thread; more are refused as busy."""
    parallel: int = 2
    """How many of those run at once."""
    shared: tuple[str, ...] = ("tls", "certificate", "token")
    """Members of the input that many documents have alike, octet for octet: they are parsed once."""
    gc_percent: int = 0
    memory_limit: int = 0
    """Bytes; Go collects harder near it, and does not fail at it."""
    gomaxprocs: int = 0


class Description(msgspec.Struct, frozen=True):
    """What a loaded policy reads and calls (engine/load.go)."""

    revision: str
    entrypoint: str
    files: tuple[str, ...]
    reads: tuple[str, ...]
    """What the decision depends on, by OPA's own analysis."""
    may_read: tuple[str, ...]
    """What any rule that it can rest on names: never narrower than `reads`. Nothing else of the input is even built."""
    places: tuple[tuple[str, ...], ...]
    """The same, as keys from the top of the input down; () is all of it."""
    data: tuple[str, ...]
    """What it depends on of the data."""
    builtins: tuple[str, ...]
    """Called by any rule that it can rest on."""
    nondeterministic: tuple[str, ...]
    unrepeatable: tuple[str, ...]
    """Those that are not known to repeat themselves; with one of them no decision is remembered."""
    clock: bool
    inline: bool


MANY = 64
"""Evaluations that one call can ask for."""
_ROOM = 256 << 10
"""Bytes for the answers of such a call; those that find no room are asked for again."""


class _Memory:
    """Where one call's answer is written; lent from call to call."""

    __slots__ = ("address", "bytes", "ticket", "ticket_address")

    def __init__(self) -> None:
        self.bytes: Any = ctypes.create_string_buffer(
            MAX_RESULT
        )  # a slice of it is bytes, which typeshed does not know
        self.address = ctypes.addressof(self.bytes)
        self.ticket = ctypes.c_int64()
        self.ticket_address = ctypes.addressof(self.ticket)


class _Many:
    """Where the questions and answers of one call for many evaluations are."""

    def __init__(self) -> None:
        numbers = ctypes.c_int64 * MANY
        self.lengths, self.nows, self.results, self.tickets = numbers(), numbers(), numbers(), numbers()
        self.bytes: Any = ctypes.create_string_buffer(_ROOM)
        parts = (self.lengths, self.nows, self.bytes, self.results, self.tickets)
        self.addresses = tuple(ctypes.addressof(part) for part in parts)


class PolicyHandle:
    """A loaded policy. Any thread may use it; after `release` every answer is BAD_HANDLE or CLOSED."""

    def __init__(self, library: "Library", handle: int) -> None:
        self._library = library
        self._handle = handle
        self._evaluate = library.functions.ztopa_evaluate
        self._evaluate_many = library.functions.ztopa_evaluate_many
        self._memory: deque[_Memory] = deque()
        self._many = _Many()

    def describe(self) -> Description:
        """Raises LibraryUnavailableError once released."""
        self._library.check_process()
        address = self._library.functions.ztopa_describe(self._handle)
        if not address:
            raise LibraryUnavailableError("the policy was released")
        return msgspec.json.decode(self._library.take(address), type=Description)

    def evaluate(self, document: bytes, now_ns: int, deadline_ns: int) -> tuple[int, bytes, int]:
        """Answer with (status, JSON or message, ticket); returns in about `inline_ns`.

        With PENDING the answer comes through `wait_next` under the ticket, in `deadline_ns` at the latest.
        """
        if self._library.foreign:
            self._library.check_process()
        try:
            memory = self._memory.pop()
        except IndexError:
            memory = _Memory()
        result: int = self._evaluate(
            self._handle,
            document,
            len(document),
            now_ns,
            deadline_ns,
            memory.address,
            MAX_RESULT,
            memory.ticket_address,
        )
        answer = (result >> 32, memory.bytes[: result & 0xFFFFFFFF], memory.ticket.value)
        self._memory.append(memory)
        return answer

    def evaluate_many(self, questions: Sequence[tuple[bytes, int]], deadline_ns: int) -> list[tuple[int, bytes, int]]:
        """Answer each (document, now_ns) as `evaluate` would; asking for many at once costs less for each.

        At most `MANY`; never from two threads at once. Fewer answers than questions when the answers were long.
        """
        self._library.check_process()
        many, count = self._many, len(questions)
        documents = [document for document, _ in questions]
        many.lengths[:count] = list(map(len, documents))
        many.nows[:count] = [now_ns for _, now_ns in questions]
        lengths, nows, out, results, tickets = many.addresses
        done: int = self._evaluate_many(
            self._handle, count, b"".join(documents), lengths, nows, deadline_ns, out, _ROOM, results, tickets
        )
        answers, start = [], 0
        for result, ticket in zip(many.results[:done], many.tickets[:done], strict=True):
            end = start + (result & 0xFFFFFFFF)
            answers.append((result >> 32, many.bytes[start:end], ticket))
            start = end
        return answers

    def wait_next(self, wait_ns: int) -> tuple[int, bytes, int]:
        """Block for the next answer that was pending: (status, JSON or message, ticket), IDLE or CLOSED."""
        self._library.check_process()
        memory = _Memory()
        result: int = self._library.functions.ztopa_next(
            self._handle, wait_ns, memory.address, MAX_RESULT, memory.ticket_address
        )
        return result >> 32, memory.bytes[: result & 0xFFFFFFFF], memory.ticket.value

    def release(self) -> None:
        """Forget the policy; may be called again. Evaluations under way end by themselves."""
        if not self._library.foreign:
            self._library.functions.ztopa_release(self._handle)


class Library:
    """The shared library, loaded into this process."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise LibraryUnavailableError(
                f"{path} is missing: ztproxy was installed without its policy engine. Install it again "
                "(pip install --force-reinstall ztproxy, or pip install -e . in a checkout), or use engine: server"
            )
        try:
            self.functions = ctypes.CDLL(str(path))
            self._declare()
            abi = self.functions.ztopa_abi()
        except (OSError, AttributeError) as error:
            raise LibraryUnavailableError(f"{path} cannot be loaded: {error}") from error
        if abi != ABI:
            raise LibraryUnavailableError(
                f"{path} has interface {abi}, this ztproxy needs {ABI}: install ztproxy again"
            )
        self.foreign = False
        self._process = os.getpid()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self.foreign = True

    def check_process(self) -> None:
        """Raise LibraryUnavailableError in a process that was forked off after loading."""
        if self.foreign or os.getpid() != self._process:
            raise LibraryUnavailableError("the policy engine was loaded before this process was forked; load it after")

    def _declare(self) -> None:
        number, pointer, text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
        signatures: dict[str, tuple[Any, list[Any]]] = {
            "ztopa_abi": (number, []),
            "ztopa_version": (pointer, []),
            "ztopa_free": (None, [pointer]),
            "ztopa_load": (number, [text, number, ctypes.POINTER(pointer)]),
            "ztopa_describe": (pointer, [number]),
            "ztopa_evaluate": (number, [number, text, number, number, number, pointer, number, pointer]),
            "ztopa_evaluate_many": (
                number,
                [number, number, text, pointer, pointer, number, pointer, number, pointer, pointer],
            ),
            "ztopa_next": (number, [number, number, pointer, number, pointer]),
            "ztopa_release": (None, [number]),
            "ztopa_tool": (pointer, [text, number]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.functions, name)
            function.restype, function.argtypes = result, arguments

    def take(self, address: int) -> bytes:
        """Copy a text that the library made, and give its memory back."""
        try:
            return ctypes.string_at(address)
        finally:
            self.functions.ztopa_free(address)

    def version(self) -> dict[str, Any]:
        """Give the versions of `opa`, `go` and the interface, `abi`."""
        self.check_process()
        found: dict[str, Any] = msgspec.json.decode(self.take(self.functions.ztopa_version()))
        return found

    def load(self, options: LoadOptions) -> PolicyHandle:
        """Compile a policy directory; raises PolicyLoadError with every problem found."""
        self.check_process()
        request = msgspec.json.encode(options)
        failure = ctypes.c_void_p()
        handle: int = self.functions.ztopa_load(request, len(request), ctypes.byref(failure))
        if handle:
            return PolicyHandle(self, handle)
        problems = self.take(failure.value) if failure.value else b"[]"
        raise PolicyLoadError(msgspec.json.decode(problems, type=tuple[Problem, ...]))

    def tool(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what the command line asks (native/opa/tool). Not for a process that serves."""
        self.check_process()
        text = msgspec.json.encode(request)
        answer: dict[str, Any] = msgspec.json.decode(self.take(self.functions.ztopa_tool(text, len(text))))
        return answer


@cache
def library() -> Library:
    """Load the library of this installation, once; raises LibraryUnavailableError."""
    return Library(LIBRARY)
