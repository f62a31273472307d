"""From a file to validated settings, or to every error in it with its line and column."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ztproxy.config import document
from ztproxy.config.checks import contradictions
from ztproxy.config.operation import Admin
from ztproxy.config.settings import Settings

VARIABLE = "ZTPROXY_CONFIG"
DEFAULT_NAME = "ztproxy.yaml"
_LARGEST_FILE = 1 << 20


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    file: Path
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    @classmethod
    def at(cls, file: Path, text: str, where: document.Path, message: str) -> Self:
        """A problem at a key of a text that was read before."""
        return cls(file, *document.read(text).place(where), message)


class ConfigError(Exception):
    """The configuration cannot be used; holds every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def find(argument: Path | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    """Which file is meant: `--config`, else `ZTPROXY_CONFIG`, else the folder's `ztproxy.yaml`; None without any."""
    if argument is not None:
        return argument
    if named := environment.get(VARIABLE):
        return Path(named)
    default = folder / DEFAULT_NAME
    return default if default.exists() else None


def load(path: Path, policy: Path | None = None, workers: str | int | None = None) -> Settings:
    """Read and check a configuration file.

    Args:
        path: the file; relative paths in it count from its folder.
        policy: directory that takes the place of `policy.path`.
        workers: number, or `auto`, that takes the place of `workers`.

    Raises:
        ConfigError: naming file, line and column of every problem.
    """
    return parse(read_text(path), path, policy, workers)


def read_text(path: Path) -> str:
    """What stands in a configuration file. Raises `ConfigError`."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError([Problem(path, 1, 1, "the file is larger than 1 MiB")])
        return path.read_bytes().decode()
    except OSError as wrong:
        raise ConfigError([Problem(path, 1, 1, wrong.strerror or str(wrong))]) from None
    except UnicodeDecodeError as wrong:
        raise ConfigError([Problem(path, 1, 1, f"not UTF-8 at byte {wrong.start}")]) from None


def parse(text: str, path: Path, policy: Path | None = None, workers: str | int | None = None) -> Settings:
    """The settings in a text; `path` names it in errors and gives the folder that relative paths count from."""
    try:
        tree = document.read(text)
    except document.DocumentError as wrong:
        raise ConfigError([Problem(path, *wrong.place, wrong.message)]) from None
    if not isinstance(tree.data, dict):
        raise ConfigError([Problem(path, 1, 1, "a configuration is a mapping of keys")])
    if policy is not None:
        section = tree.data.get("policy") or {}
        if isinstance(section, dict):  # anything else is told by the model
            tree.data["policy"] = {**section, "path": str(policy.absolute())}
    if workers is not None:
        tree.data["workers"] = workers
    try:
        settings = Settings.model_validate(tree.data, context={"base": path.absolute().parent})
    except ValidationError as wrong:
        raise ConfigError(_problems(wrong, tree, path)) from None
    if found := list(contradictions(settings)):
        raise ConfigError(Problem(path, *tree.place(where), message) for where, message in found)
    return settings


def admin_of(path: Path) -> Admin | None:
    """The admin socket that a configuration names, whatever else is wrong with it. Raises `ConfigError`."""
    try:
        tree = document.read(read_text(path))
    except document.DocumentError as wrong:
        raise ConfigError([Problem(path, *wrong.place, wrong.message)]) from None
    section = tree.data.get("admin") if isinstance(tree.data, dict) else None
    if section is None:
        return None
    try:
        return Admin.model_validate(section, context={"base": path.absolute().parent})
    except ValidationError as wrong:
        wheres = [(error, _within(tree.data, ("admin", *error["loc"]))) for error in wrong.errors(include_url=False)]
        problems = [Problem(path, *tree.place(where), _message(error, where)) for error, where in wheres]
        raise ConfigError(problems) from None


def naming(path: Path, text: str) -> document.Place | None:
    """The place of the value in a configuration that names the file or address which a text is about."""
    try:
        tree = document.read(path.read_bytes().decode())
    except (OSError, ValueError, document.DocumentError):  # it changed since it was loaded
        return None
    best: tuple[int, document.Place] | None = None
    for where, place in tree.values.items():
        value = _at(tree.data, where)
        if not isinstance(value, str) or not value:
            continue
        for written in (str(Path(path.absolute().parent, value)), value if ":" in value else ""):
            found = written and re.search(rf"(?<![\w./\[-]){re.escape(written)}(?![\w./-])", text)
            if found and (best is None or found.start() < best[0]):
                best = found.start(), place
    return best[1] if best else None


def placed(problem: str, path: Path) -> str:
    """A problem of what a configuration names, behind the place of the value that names it; policies have their own."""
    if re.match(r"\S+\.(rego|json|ya?ml):\d+:\d+: ", problem):
        return problem
    place = naming(path, problem)
    return f"{path}:{place.line}:{place.column}: {problem}" if place else f"{path}: {problem}"


def _at(data: Any, where: document.Path) -> Any:
    for step in where:
        data = data[step]
    return data


def _problems(wrong: ValidationError, tree: document.Document, path: Path) -> list[Problem]:
    found: dict[Problem, None] = {}
    for error in wrong.errors(include_url=False):
        where = _within(tree.data, error["loc"])
        if error["type"] == "too_short" and error["input"]:
            continue  # its items were wrong, and each said so
        found[Problem(path, *tree.place(where), _message(error, where))] = None
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _within(data: Any, location: tuple[Any, ...]) -> document.Path:
    """The part of an error's location that the document has; pydantic adds names of union members in between."""
    path: list[Any] = []
    for step in location:
        if not isinstance(data, dict | list):
            break
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(step)
    return tuple(path)


def _message(error: ErrorDetails, where: document.Path) -> str:
    key = ".".join(map(str, where)) or "configuration"
    match error["type"]:
        case "extra_forbidden":
            name = str(error["loc"][-1])
            known = _known_keys(where[:-1])
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            return f"unknown key `{name}`" + (
                f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(known)}"
            )
        case "missing":
            return f"`{key}`: the key `{error['loc'][-1]}` is missing" + _advice(str(error["loc"][-1]))
        case "value_error":
            return f"`{key}`: {error['ctx']['error']}"
        case _:
            text = re.sub(r"valid dictionary or instance of \w+", "mapping of keys", error["msg"])
            text = text.replace("valid tuple", "list").replace("Tuple", "a list")
            return f"`{key}`: {text[:1].lower()}{text[1:]}"


def _advice(key: str) -> str:
    if key == "require":
        return "; say [certificate], [token], both, or [] where the policy alone decides"
    return ""


def _known_keys(path: document.Path) -> list[str]:
    """The keys of the section that a path leads to."""
    section: type[BaseModel] = Settings
    for step in path:
        if isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        if field is None:
            break
        section = _section(field.annotation) or section
    return sorted(section.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The settings class within an annotation: itself, or what a tuple or union holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
