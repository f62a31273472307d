"""At which rate requests may come: token buckets, their storages, and what they are keyed by."""

from ztproxy.limits.limiter import Limits

__all__ = ["Limits"]
