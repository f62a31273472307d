"""Installs ztproxy as its users get it: a wheel in an environment of its own, the request path compiled to C.

The environment is made with the distribution's Python where that is new enough: it is built with profile-guided
optimisation, as those that users run are, and one that was built by hand often is not. BENCH_PYTHON names another.
What was built stays in bench/.build and is made again only when its sources changed.
"""

import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import build

ROOT = build.HERE.parent
DISTRIBUTION = pathlib.Path("/usr/bin/python3")
OLDEST = (3, 11)
_ASKED = """
import json, pathlib, platform, sys, sysconfig
import ensurepip, venv
headers = pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()
print(json.dumps([list(sys.version_info[:3]), headers, platform.python_implementation()]))
"""

Kind = Literal["compiled", "pure", "tree"]
"""`tree` is the editable install beside the Python that runs this: for profiles, which need Python's stacks."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be made with."""

    path: pathlib.Path
    version: tuple[int, int, int]
    headers: bool
    """Whether C can be compiled for it."""
    implementation: str

    def __str__(self) -> str:
        return f"{self.implementation} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class Installed:
    """A ztproxy that can be started."""

    command: pathlib.Path
    python: Interpreter
    compiled: bool
    why_not: str = ""
    """Why it is not compiled, though it was wanted."""

    def __str__(self) -> str:
        how = "compiled" if self.compiled else f"not compiled{': ' * bool(self.why_not)}{self.why_not}"
        return f"{self.python}, {how}"

    @property
    def facts(self) -> dict[str, object]:
        """What result.json says of it."""
        return {"python": str(self.python), "compiled": self.compiled, "why_not_compiled": self.why_not or None}


@functools.cache
def interpreter() -> Interpreter:
    """Choose the Python: BENCH_PYTHON, else the distribution's, else the one that runs this."""
    if named := os.environ.get("BENCH_PYTHON"):
        found = _asked(pathlib.Path(named))
        if found is None:
            raise build.BuildFailed(f"BENCH_PYTHON={named} is no Python 3.11 or newer that makes environments")
        return found
    found = _asked(DISTRIBUTION) or _asked(pathlib.Path(sys.executable))
    if found is None:
        raise build.BuildFailed("no Python here can make environments: apt-get install python3-venv")
    return found


def _asked(path: pathlib.Path) -> Interpreter | None:
    try:
        done = subprocess.run([path, "-c", _ASKED], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version, headers, implementation = json.loads(done.stdout)
    return Interpreter(path, tuple(version), headers, implementation) if tuple(version) >= OLDEST else None


@functools.cache
def ztproxy(kind: Kind) -> Installed:
    """Give ztproxy, built and installed unless it already is.

    Raises:
        build.BuildFailed: with what failed, and the last lines of why.
    """
    if kind == "tree":
        return _beside()
    python = interpreter()
    missing = _missing(python) if kind == "compiled" else ""
    compiled = kind == "compiled" and not missing
    name = f"{python.implementation.lower()}-{'.'.join(map(str, python.version))}"
    environment = build.BUILD / f"venv-{name}-{'compiled' if compiled else 'pure'}"
    _make(environment, python)
    _install(environment, build.BUILD / f"tree-{name}" if compiled else None)
    return Installed(environment / "bin" / "ztproxy", python, compiled, missing)


def _beside() -> Installed:
    found, python = pathlib.Path(sys.executable).parent / "ztproxy", _asked(pathlib.Path(sys.executable))
    if python is None or not found.exists():
        raise build.BuildFailed("ztproxy is not installed beside this Python: pip install -e .")
    return Installed(found, python, compiled=False)


def _missing(python: Interpreter) -> str:
    if not python.headers:
        return "Python's headers are missing (apt-get install python3-dev)"
    return "" if _module("hatch_build").find_compiler() else "a C compiler is missing (apt-get install gcc)"


def _module(name: str, folder: pathlib.Path = ROOT) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    if specification is None or specification.loader is None:
        raise build.BuildFailed(f"{name}.py is missing")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _make(environment: pathlib.Path, python: Interpreter) -> None:
    """Make an environment that has what ztproxy needs to run and to be built."""
    stamp, wanted = environment / ".needs", (ROOT / "pyproject.toml").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    build.BUILD.mkdir(exist_ok=True)
    build.run([str(python.path), "-m", "venv", "--clear", str(environment)], ROOT)
    _pip(environment, "install", ".[dev]")
    stamp.write_text(wanted)


def _install(environment: pathlib.Path, tree: pathlib.Path | None) -> None:
    """Install this tree as it is now: compiled in a copy of it, or as it stands."""
    stamp, wanted = environment / ".installed", _module("compiled", ROOT / "native").fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if tree is not None:
        build.run([str(environment / "bin" / "python"), str(ROOT / "native" / "compiled.py"), str(tree)], ROOT)
    _pip(environment, "install", "--no-deps", "--no-build-isolation", "--force-reinstall", str(tree or ROOT))
    stamp.write_text(wanted)


def _pip(environment: pathlib.Path, *arguments: str) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build.run([*pip, *arguments], ROOT)
