"""What counts once: a login's state, a logout token."""

from ztproxy.identity.login.context import Context


async def first_time(context: Context, kind: bytes, said: bytes, *, until: float, now: float) -> bool:
    """Whether something was never said before, in all processes; what was is forgotten at `until`.

    Args:
        context: what logins rest on.
        kind: what the keys of these records begin with.
        said: what counts once; it is stored as a hash under the ring's key, and looked for under all keys of the ring.
        until: seconds since 1970; from then on it counts no more for another reason.
        now: likewise.

    Raises:
        RecordsUnavailableError: nothing is known of it.
    """
    newest, *older = context.ring.names("once", kind + said)
    for name in older:
        if await context.records.get(kind + name, now) is not None:
            return False
    return await context.records.add(kind + newest, b"", until, now)
