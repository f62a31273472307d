"""What the supervisor and a worker say to each other.

A change of configuration has two phases: every worker prepares it, and only when all of them could does each commit.
"""

from typing import Literal

import msgspec

from ztproxy.admin.sessions import Forgetting, Listing, Revoking
from ztproxy.identity.issuers.refreshing import Refreshing
from ztproxy.spiffe.workload import Workload

Question = Literal["ping", "status", "snapshot", "unready"]
"""Whether it lives; the document behind `ztproxy status`; its counters; what is not ready."""


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Make a configuration ready, beside the one that serves. Answered by `Prepared` or `Failed`."""

    generation: int
    text: str
    """Of the configuration file, so that all workers read the same."""
    path: str
    """Where it stands: relative paths count from its folder."""
    policy: str | None
    """`--policy`."""
    workers: int
    keep_policy: bool = False
    """Decide by the policy that serves now, whatever its directory has come to hold."""
    by_manifest: bool = False
    """The policy directory has to agree with its manifest once it has been read."""
    workload: Workload | None = None
    """Our SVID and the bundles of trust domains, so that all workers have the same."""


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """The configuration is ready."""

    generation: int
    revision: str
    """Of the policy."""
    read: str
    """Names what was read: workers that read different files must not serve together."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The configuration cannot serve; nothing has changed."""

    generation: int
    problems: tuple[str, ...]


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Serve by what was prepared. Goes with the listening sockets, in this order. Answered by `Committed`."""

    generation: int
    addresses: tuple[str, ...]
    """As configured."""


class Committed(msgspec.Struct, frozen=True, tag=True):
    """The configuration serves."""

    generation: int
    summary: tuple[str, ...]
    """What to tell the operator."""


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Forget what was prepared."""

    generation: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Accept no more, let what runs finish for so many seconds, then end. Answered by `Drained`."""

    seconds: float


class Drained(msgspec.Struct, frozen=True, tag=True):
    """The worker ends now; so many connections were cut."""

    cut: int


class Reopen(msgspec.Struct, frozen=True, tag=True):
    """Open log files anew."""


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A question that is answered at once."""

    number: int
    what: Question


Action = Listing | Revoking | Forgetting | Refreshing
"""What may take its time. Its answer is JSON."""


class Act(msgspec.Struct, frozen=True, tag=True):
    """Something to do beside serving; answered by `Reply` when it is done."""

    number: int
    action: Action


class Reply(msgspec.Struct, frozen=True, tag=True):
    """The answer to a question, or what came of an action."""

    number: int
    body: bytes


ToWorker = Prepare | Commit | Abort | Drain | Reopen | Ask | Act
FromWorker = Prepared | Failed | Committed | Drained | Reply
