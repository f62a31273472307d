"""What all exchanges of one route with several servers share: how a request says which server it should go to."""

from ztproxy.model import Authorized
from ztproxy.upstream.cluster import Cluster
from ztproxy.upstream.hash_key import HashKey
from ztproxy.upstream.member import Member
from ztproxy.upstream.sticky import StickyCookie


class Choice:
    """A route's servers, and what of a request they are chosen by.

    Args:
        cluster: the servers.
        hash_key: what consistent hashing goes by; None where there is none.
        sticky: the cookie that leads back to a server; None where there is none.
    """

    __slots__ = ("cluster", "hash_key", "retried", "sticky")

    def __init__(self, cluster: Cluster, hash_key: HashKey | None, sticky: StickyCookie | None) -> None:
        self.cluster = cluster
        self.sticky = sticky
        self.retried = frozenset(cluster.upstream.retries.statuses)
        self.hash_key = hash_key

    def preferred(self, authorized: Authorized) -> Member | None:
        """The server that its cookie names."""
        if self.sticky is None:
            return None
        index = self.sticky.named(authorized.arrived.fields)
        return None if index is None else self.cluster.members[index]
