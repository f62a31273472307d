"""What a client is told that came too often (RFC 6585 §4, draft-ietf-httpapi-ratelimit-headers)."""

from math import ceil

from ztproxy.limits.bucket import SECOND
from ztproxy.limits.rules import Rule
from ztproxy.limits.token_bucket import BucketState
from ztproxy.model import Fields, LimitStatus, Reason, Refusal


def status(rule: Rule, state: BucketState, shadow: tuple[str, ...] = ()) -> LimitStatus:
    """How a rule stands after a charge."""
    quota = rule.quota
    return LimitStatus(
        rule.name, quota.limit, quota.remaining(state.level), quota.until_full(state.level), quota.period, shadow
    )


def rate_limited(rule: Rule, state: BucketState, shadow: tuple[str, ...] = ()) -> Refusal:
    """429: when it is worth coming again, and by which rule."""
    quota = rule.quota
    seconds = max(1, ceil(quota.wait(state.level) / SECOND))
    name = f'"{rule.name}"'  # a structured field's string: the settings allow neither quotes nor backslashes in it
    fields: Fields = (
        (b"retry-after", b"%d" % seconds),
        (b"ratelimit-policy", f"{name};q={quota.limit};w={quota.period}".encode()),
        (b"ratelimit", f"{name};r={quota.remaining(state.level)};t={seconds}".encode()),
    )
    return Refusal(
        Reason.RATE_LIMITED,
        f"More than {quota.limit} requests in {quota.period} s; try again in {seconds} s.",
        fields=fields,
        limit=status(rule, state, shadow),
    )


def storage_away(cause: str) -> Refusal:
    """503: whether the request is within its rate cannot be told."""
    return Refusal(Reason.OVERLOADED, "limits storage is away", cause, fields=((b"retry-after", b"1"),))


def no_room(rule: Rule) -> Refusal:
    """503: as many buckets are in use as may be, and none is full again."""
    cause = f"limits.maximum_buckets reached; the rule is {rule.name}"
    return Refusal(Reason.OVERLOADED, "no bucket is free", cause, fields=((b"retry-after", b"1"),))
