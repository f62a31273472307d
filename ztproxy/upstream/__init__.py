"""Forwarding what was authorised: connections, pools, heads, and the signed statement of who asks."""

from ztproxy.upstream.files import UnusableFileError
from ztproxy.upstream.upstreams import Upstreams

__all__ = ["UnusableFileError", "Upstreams"]
