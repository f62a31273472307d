"""The configuration described for people and editors: Markdown, JSON Schema, and the effective values."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel, PlainSerializer
from pydantic.fields import FieldInfo

from ztproxy.config import believed
from ztproxy.config.settings import Settings
from ztproxy.config.values import write_duration

_HEAD = """# Configuration

<!-- Made by `ztproxy config schema --markdown`; a test compares. Change the docstrings in settings.py. -->

YAML (or JSON), read from `--config`, else `$ZTPROXY_CONFIG`, else `ztproxy.yaml` in the working directory. Everything
is checked before a socket is bound; what is wrong is said as `FILE:LINE:COLUMN: what`, and `run` ends with exit code 2
(`config check` too, and with 1 where the file is right but something that it names cannot be used). Unknown keys are
errors. Relative paths count from the file's own folder. Durations are written `250ms`, `2s`, `5m`, `1h`, `1d`;
rates `100/second`, `20/minute`, `1000/hour`, `5/day`; sizes `500B`, `32KiB`, `10MiB`; secrets `{env: NAME}` or
`{file: PATH}`.

`ztproxy config check` checks a file, `ztproxy config show` prints the effective values, `ztproxy config schema` the
JSON Schema for an editor (`# yaml-language-server: $schema=ztproxy.schema.json`), `ztproxy config init` writes a first
file.
"""


_REMOVED = """## Headers that are removed from clients' requests

A client that sends one of these would pass for somebody whom a proxy had verified, so none gets from a client to an
upstream, in any spelling: names are compared in lower case and with every character that is no letter or digit as `-`,
because CGI and its kin confuse them (`X.Forwarded.For`). For the same reason every name with `_` is removed. So are the
names in any route's `policy_headers`, `Proxy` and `Proxy-…`, and what belongs to one connection alone (`Keep-Alive`,
`TE`, `Trailer`, what `Connection` names).

What is *ours* is set by the proxy itself, or says what its own headers say; no setting lets a client's through. What
upstreams *commonly believe* is removed too, unless the route names it in `keep_headers`, one full name each:
`keep_headers: [X-HTTP-Method-Override]`.
"""


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration file."""
    made = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "ztproxy configuration"}


def effective(settings: Settings) -> str:
    """The effective values as YAML. Secrets are references, so none is shown."""
    return yaml.safe_dump(_absent_out(settings.model_dump(mode="json")), sort_keys=False, allow_unicode=True)


def _absent_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _absent_out(item) for key, item in value.items() if item is not None}
    return [_absent_out(item) for item in value] if isinstance(value, list) else value


def markdown() -> str:
    """docs/configuration.md."""
    return "\n".join([_HEAD, *_section(Settings, ""), *_removed()])


def _removed() -> Iterator[str]:
    yield _REMOVED
    yield "| what it is | names | beginnings of names |\n|---|---|---|"
    for what, names, beginnings in (
        ("ours", believed.OURS, believed.OURS_PREFIXES),
        ("commonly believed", believed.BELIEVED, believed.BELIEVED_PREFIXES),
    ):
        yield f"| {what} | {_names(names, '')} | {_names(beginnings, '…')} |"
    yield ""


def _names(names: Iterable[bytes], more: str) -> str:
    return ", ".join(f"`{name.decode()}{more}`" for name in sorted(names))


def _section(section: type[BaseModel], prefix: str) -> Iterator[str]:
    title = f"`{prefix}`" if prefix else "The whole file"
    yield f"## {title}\n\n{(section.__doc__ or '').strip()}\n"
    yield "| key | what it is | default |\n|---|---|---|"
    below: list[tuple[type[BaseModel], str]] = []
    for name, field in section.model_fields.items():
        held, many = _held(field.annotation)
        yield f"| `{name}` | {_meaning(field, held)} | {_default(field)} |"
        if held is not None:
            below.append((held, f"{prefix}.{name}".lstrip(".") + ("[]" if many else "")))
    yield ""
    for held, path in below:
        if held.__name__ != "Secret":
            yield from _section(held, path)


def _held(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field holds, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    many = getattr(annotation, "__origin__", None) is tuple
    for part in get_args(annotation):
        held, inner = _held(part)
        if held is not None:
            return held, many or inner
    return None, False


def _meaning(field: FieldInfo, held: type[BaseModel] | None) -> str:
    text = " ".join((field.description or (held.__doc__ if held else None) or "").split())
    words = [str(word) for part in (field.annotation, *get_args(field.annotation)) for word in _words(part)]
    choices = f" One of {', '.join(f'`{word}`' for word in dict.fromkeys(words))}." if words else ""
    return (text + choices).replace("|", "\\|").strip()


def _words(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if "Literal" in str(getattr(annotation, "__origin__", "")) else ()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.default if field.default_factory is None else None
    if value is None or isinstance(value, BaseModel):
        return ""
    if written := next((mark for mark in field.metadata if isinstance(mark, PlainSerializer)), None):
        return f"`{written.func(value)}`"  # type: ignore[call-arg]  # of its two shapes, ours take the value alone
    if isinstance(value, float):
        return f"`{write_duration(value)}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
