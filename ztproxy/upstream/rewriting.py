"""The path that the upstream gets where a route rewrites it."""

from collections.abc import Callable

from ztproxy.config.moving import Rewrite


def rewriting(rewrite: Rewrite) -> Callable[[str], str]:
    """Puts one prefix of whole segments in another's place.

    Both are in their one spelling, and what follows is a path's canonical end, so the result has one spelling too. A
    path that lies elsewhere stays as it is: the configuration lets no such route exist.
    """
    old, new = rewrite.prefix.rstrip("/"), rewrite.to.rstrip("/")

    def rewrite_path(path: str) -> str:
        if path != old and not path.startswith(old + "/"):
            return path
        return new + path[len(old) :] or "/"

    return rewrite_path
