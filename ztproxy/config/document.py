"""YAML with places: plain values, and where each key and value stands in the file.

YAML 1.2's core schema, so that `off` is a word and `22:30` no number; JSON is a subset of it. Duplicate keys are
refused, tags and recursive aliases too: a configuration is data.
"""

import re
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]
"""Keys and indexes from the top of the document: `("routes", 0, "hosts")`."""


class Place(NamedTuple):
    """Where something stands, counted from 1."""

    line: int
    column: int


class DocumentError(Exception):
    """The text is not the YAML that a configuration is written in."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


class Document(NamedTuple):
    """Plain data and the places of its parts. `keys` has the place of a key, `values` that of what it holds."""

    data: Any
    values: dict[Path, Place]
    keys: dict[Path, Place]

    def place(self, path: Path) -> Place:
        """The place of the nearest part that the document has; of a key where there is one."""
        while path:
            if found := self.keys.get(path) or self.values.get(path):
                return found
            path = path[:-1]
        return self.values.get((), Place(1, 1))


class _Core(yaml.SafeLoader):
    """YAML 1.2 core schema."""


_Core.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    for _character in [*_first, *([""] if _tag == "null" else [])]:
        _resolvers = _Core.yaml_implicit_resolvers.setdefault(_character, [])
        _resolvers.append((f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})\Z")))
_SCALARS: dict[str, Callable[[str], object]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:null": lambda _: None,
}


def read(text: str) -> Document:
    """Parse a document; raises `DocumentError`."""
    try:
        root = yaml.compose(text, Loader=_Core)
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise DocumentError(place, f"not valid YAML: {wrong.problem or wrong.context}") from None
    except (yaml.YAMLError, RecursionError) as wrong:
        raise DocumentError(Place(1, 1), f"not valid YAML: {str(wrong).splitlines()[0]}") from None
    if root is None:
        raise DocumentError(Place(1, 1), "the file is empty")
    document = Document(None, {}, {})
    return document._replace(data=_plain(root, (), document, ()))


def _plain(node: yaml.Node, path: Path, document: Document, above: tuple[int, ...]) -> Any:
    place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
    document.values[path] = place
    if id(node) in above:
        raise DocumentError(place, "an alias holds itself")
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), document, above) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, above)
    if node.tag not in _SCALARS:
        raise DocumentError(place, f"the tag {node.tag} has no meaning here")
    try:
        return _SCALARS[node.tag](node.value)
    except ValueError:  # Python reads integers of some thousand digits only
        raise DocumentError(place, "this number is too long") from None


def _mapping(node: yaml.MappingNode, path: Path, document: Document, above: tuple[int, ...]) -> dict[Hashable, Any]:
    result: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        place = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            raise DocumentError(place, "a key is a word")
        key = key_node.value
        if key in result:
            raise DocumentError(place, f"the key `{key}` stands here twice")
        document.keys[(*path, key)] = place
        result[key] = _plain(value_node, (*path, key), document, above)
    return result
