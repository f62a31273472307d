"""Which files a configuration reads: certificates, keys, authorities, revocation lists, secrets."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import AfterValidator, BaseModel

from ztproxy.config.values import must_be_readable


def files_of(section: BaseModel) -> Iterator[Path]:
    """Every file that a section names to be read, in the order written; not those that are written to."""
    for name, field in type(section).model_fields.items():
        yield from _within(getattr(section, name), read=_is_read(field.annotation, field.metadata))


def _within(value: object, *, read: bool) -> Iterator[Path]:
    if isinstance(value, BaseModel):
        yield from files_of(value)
    elif isinstance(value, tuple):
        for one in value:
            yield from _within(one, read=read)
    elif read and isinstance(value, Path):
        yield value


def _is_read(annotation: Any, metadata: Iterable[object] = ()) -> bool:
    if any(isinstance(one, AfterValidator) and one.func is must_be_readable for one in metadata):
        return True
    inner = get_args(annotation)
    return any(_is_read(one, getattr(one, "__metadata__", ())) for one in inner)
