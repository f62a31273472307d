"""What is known about revoked client certificates, authority by authority, and what holds when it is not known."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, InputFile

SHORTEST_REFRESH = 60.0
"""Seconds."""


def _signed_by_url(value: str) -> str:
    """A URL of what carries a signature of its own, so that http will do."""
    if not is_plain_url(value):
        raise ValueError("a URL is http(s)://host[:port]/path in ASCII, without user, fragment or dot segments")
    return value


def _prefix(value: str) -> str:
    if not is_plain_url(value) or not value.endswith("/") or urlsplit(value).query:
        raise ValueError("what a URL must begin with is http(s)://host[:port]/, or a path there that ends with /")
    return value


def is_plain_url(url: str) -> bool:
    """Whether it is an http or https URL that has one reading: nothing in it could name another host or path."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?", url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not _has_dots(parts.path)
    except ValueError:
        return False


def _has_dots(path: str) -> bool:
    return bool(re.search(r"(?i)(?:/|%2f|%5c)(?:\.|%2e){1,2}(?:/|%2f|%5c|$)", path))


SignedUrl = Annotated[str, AfterValidator(_signed_by_url)]
UrlPrefix = Annotated[str, AfterValidator(_prefix)]


class Revocation(Section):
    """Where it is known which certificates of one authority are revoked. docs/revocation.md says what follows."""

    authority: InputFile
    """PEM file of the authority that issued them: one of `authorities`, or an intermediate that clients send along."""
    crl: tuple[InputFile, ...] = ()
    """Files of its revocation lists, complete or delta, PEM or DER; read again when they change."""
    crl_urls: tuple[SignedUrl, ...] = ()
    """Where its lists, complete or delta, are fetched from in the background; http will do, they are signed."""
    ocsp_urls: tuple[SignedUrl, ...] = ()
    """OCSP responders that are asked in the background about each certificate; the next one when one fails."""
    follow: tuple[UrlPrefix, ...] = ()
    """What a URL that certificates or lists name themselves (distribution points, freshest lists, OCSP responders) must
    begin with for it to be asked; none is otherwise."""
    ocsp_nonce: Literal["send", "require", "omit"] = "send"
    """require: an answer without our nonce does not count, so nobody can show us an older one; answers made in advance
    have none."""
    refresh: Duration = 3600.0
    """What is known is asked for again at least this often, and before it ends."""
    tls_authorities: tuple[InputFile, ...] = ()
    """PEM files to verify servers of https URLs with; the system's trust when absent."""
    on_unknown: Literal["refuse", "allow"] | None = None
    """What happens when nothing current says whether a certificate was revoked; as the listener's when absent."""
    grace: Duration | None = None
    """How long after its end (`nextUpdate`) the last thing known still counts; counted and logged. Not at all when
    absent."""
    wait: Duration = Field(default=2.0, le=10.0)
    """How long the first request of a certificate waits for what is being asked about it, if nothing is known yet."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.crl or self.crl_urls or self.ocsp_urls or self.follow):
            raise ValueError("nothing says what was revoked: name `crl`, `crl_urls`, `ocsp_urls` or `follow`")
        if self.refresh < SHORTEST_REFRESH:
            raise ValueError("`refresh` is at least 1m: lists and answers are not made anew faster")
        return self
