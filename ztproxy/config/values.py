"""How single values are written in the configuration: durations, rates, addresses, secrets, names.

Each parser raises `ValueError` with a message that says what would have been right; the loader adds file, line and key.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Of a signature by a private key (RFC 7518 §3.1, RFC 8037)."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def parse_duration(value: object) -> float:
    """Seconds from `250ms`, `2s`, `5m`, `1h` or `1d`."""
    if isinstance(value, float) and value > 0:  # an already parsed default
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", value)):
        return int(found[1]) * _UNITS[found[2]]
    raise ValueError("a duration is a whole number and a unit: 250ms, 2s, 5m, 1h, 1d")


class Rate(NamedTuple):
    """So many requests in so many seconds, on average."""

    limit: int
    period: float


def parse_rate(value: object) -> Rate:
    """A `Rate` from `100/second`, `20/minute`, `1000/hour` or `5/day`."""
    if isinstance(value, Rate):
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"([1-9]\d{0,8})/(second|minute|hour|day)", value)):
        return Rate(int(found[1]), _PERIODS[found[2]])
    raise ValueError("a rate is a whole number above 0 and a period: 100/second, 20/minute, 1000/hour, 5/day")


class TcpAddress(NamedTuple):
    """A host (IP literal or name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(NamedTuple):
    """A Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address; a name for one may come to mean another."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_address(value: object) -> Address:
    """An address from `0.0.0.0:8443`, `[::1]:8443` or `unix:/run/ztproxy.sock`."""
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    if isinstance(value, str):
        if found := re.fullmatch(r"unix:(/.+)", value):
            return UnixAddress(Path(found[1]))
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9A-Za-z.-]+)):(\d{1,5})", value)
        if found and int(found[3]) <= 65535:  # noqa: PLR2004 - the largest port
            return TcpAddress(found[1] or found[2], int(found[3]))
    raise ValueError("an address is HOST:PORT, [IPV6]:PORT or unix:/absolute/path")


def parse_network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network in CIDR notation; host bits must be zero."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(str(value), strict=True)
    except ValueError as wrong:
        raise ValueError(f"a network is written 10.0.0.0/8 or fd00::/8: {wrong}") from None


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"


def parse_host_pattern(value: object) -> str:
    """An exact host, `*.example.com`, or `*`; lower case, IPv6 literals without brackets."""
    if isinstance(value, str):
        text = value.lower()
        if text == "*" or re.fullmatch(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", text):
            return text
        try:
            return str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            pass
    raise ValueError("a host is an exact name, *.example.com, an IP address or *")


def parse_path_prefix(value: object) -> str:
    """A path that starts with a slash and is written in its one canonical spelling."""
    if isinstance(value, str) and re.fullmatch(r"/|(?:/[A-Za-z0-9._~!$&'()*+,=:@%-]+)+/?", value):
        if {".", ".."} & set(value.split("/")) or re.fullmatch(r".*%(?![0-9A-F]{2}).*", value):
            raise ValueError("a path has no dot segments, and escapes in upper-case hex")
        return value
    raise ValueError("a path starts with / and has no empty segments: /, /api/, /api/orders")


def segments(path: str) -> tuple[str, ...]:
    """The decoded parts of a path: `/` has none, `/api/x` two, `/api/` two, the last empty."""
    return tuple(unquote(part) for part in path.split("/")[1:]) if path != "/" else ()


def parse_field_name(value: object) -> str:
    """A header field's name (RFC 9110 §5.6.2), kept as written; no underscore."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", value):
        return value
    raise ValueError("a header name has letters, digits and dashes")


def parse_url(value: str) -> str:
    """An http(s) URL without user and fragment, kept as written."""
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("a URL is https://host[:port]/path, without user and fragment")
    return value


def must_be_readable(path: Path) -> Path:
    """Refuse what is no file that can be read."""
    if not path.is_file():
        raise ValueError(f"{path}: " + ("is not a file" if path.exists() else "no such file"))
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path}: cannot be read")
    return path


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path}: " + ("is not a directory" if path.exists() else "no such directory"))
    return path


def from_base(path: Path, info: ValidationInfo) -> Path:
    """Paths are relative to the configuration file's own folder."""
    return Path(info.context["base"], path) if info.context else path


def write_duration(seconds: float) -> str:
    """A duration as it is written in the configuration."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds / _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def write_rate(rate: Rate) -> str:
    """A rate as it is written in the configuration."""
    return f"{rate.limit}/{next(name for name, period in _PERIODS.items() if period == rate.period)}"


def parse_user(value: object) -> int:
    """A user's number, from its name or the number itself."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
        return value
    if isinstance(value, str):
        try:
            import pwd  # noqa: PLC0415 - absent on Windows

            return pwd.getpwnam(value).pw_uid
        except (ImportError, KeyError):
            raise ValueError(f"this machine knows no user {value}") from None
    raise ValueError("a user is a name, or a number")


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration),
    _text(r"^\d{1,9}(ms|s|m|h|d)$", "250ms", "30s"),
]
RateValue = Annotated[
    Rate,
    PlainValidator(parse_rate),
    PlainSerializer(write_rate),
    _text(r"^[1-9]\d{0,8}/(second|minute|hour|day)$", "100/second"),
]
AddressValue = Annotated[
    Address,
    PlainValidator(parse_address),
    PlainSerializer(str),
    _text(r"^(unix:/.+|.+:\d{1,5})$", "0.0.0.0:8443", "unix:/run/ztproxy.sock"),
]
User = Annotated[int, BeforeValidator(parse_user), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})]
Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    PlainValidator(parse_network),
    PlainSerializer(str),
    _text(r"^.+/\d{1,3}$", "10.0.0.0/8", "fd00::/8"),
]
HostPattern = Annotated[
    str, BeforeValidator(parse_host_pattern), _text(r"^.+$", "orders.corp.example", "*.corp.example", "*")
]
PathPrefix = Annotated[str, BeforeValidator(parse_path_prefix), _text(r"^/", "/", "/api/")]
FieldName = Annotated[str, BeforeValidator(parse_field_name), _text(r"^[A-Za-z0-9-]+$", "X-Role")]
Url = Annotated[str, AfterValidator(parse_url)]
OutputPath = Annotated[Path, AfterValidator(from_base)]
"""A file or directory that the program makes."""
InputFile = Annotated[Path, AfterValidator(from_base), AfterValidator(must_be_readable)]
"""A file that must be there."""
InputDirectory = Annotated[Path, AfterValidator(from_base), AfterValidator(_directory)]
"""A directory that must be there."""


class Secret(BaseModel):
    """A secret that stands in the environment or in a file, never in the configuration itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    env: str | None = None
    """Name of the environment variable that holds it."""
    file: InputFile | None = None
    """File that holds it; one trailing newline is ignored."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is either {env: NAME} or {file: PATH}")
        return self
