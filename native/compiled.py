"""Compiles the modules on a request's path to C with mypyc: the same source, only faster.

    python native/compiled.py FOLDER

makes FOLDER a copy of this tree in which they are compiled. A wheel built there carries them (hatch_build.py); tests
run there test them. This tree itself stays as it is: a compiled module beside its source would hide what is edited.

It needs mypy, setuptools, a C compiler, Python's headers, and ztproxy's own dependencies, whose types it reads.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    "claim_path.py",
    "edge/answering.py",
    "edge/canonical.py",
    "edge/collecting.py",
    "edge/deadline.py",
    "edge/exchange.py",
    "edge/field_section.py",
    "edge/http1.py",
    "edge/ill_formed.py",
    "edge/load.py",
    "edge/own_cookies.py",
    "edge/pace.py",
    "edge/request_ids.py",
    "edge/requests.py",
    "edge/response.py",
    "edge/response_head.py",
    "edge/site.py",
    "edge/streams.py",
    "edge/target.py",
    "edge/tls.py",
    "edge/upgrading.py",
    "edge/wire.py",
    "identity/tokens/bearers.py",
    "identity/tokens/binding.py",
    "identity/certificates/fitness.py",
    "identity/sessions/cookie.py",
    "identity/sessions/cross_site.py",
    "identity/sessions/entry.py",
    "identity/sessions/remembered.py",
    "identity/sessions/service.py",
    "identity/proofs/possession.py",
    "identity/proofs/replays_machine.py",
    "identity/revocation/verdicts.py",
    "identity/basis.py",
    "identity/stage.py",
    "identity/certificates/workloads.py",
    "limits/bucket.py",
    "limits/keys.py",
    "limits/limiter.py",
    "limits/refusals.py",
    "limits/rules.py",
    "limits/table.py",
    "observe/access.py",
    "observe/lines.py",
    "observe/metrics.py",
    "observe/plain.py",
    "observe/telling.py",
    "observe/times.py",
    "pipeline.py",
    "policy/key.py",
    "policy/memo.py",
    "policy/shared.py",
    "policy/stage.py",
    "routing/__init__.py",
    "turn.py",
    "upstream/balanced.py",
    "upstream/connection.py",
    "upstream/content.py",
    "upstream/deadlines.py",
    "upstream/forwarding.py",
    "upstream/head.py",
    "upstream/peers.py",
    "upstream/pool.py",
    "upstream/response.py",
    "upstream/response_fields.py",
    "upstream/sending.py",
    "upstream/statement.py",
    "upstream/sticky_head.py",
    "upstream/switching.py",
    "upstream/upstreams.py",
)
"""What a request runs through; not what is made of msgspec's or pydantic's classes alone, which are C already."""
_BESIDE = ("tests", "policies", "bench", "docs", "deploy")
"""What is no source of the program: it is brought up to date each time."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".build", "*.pyc", "var", "result.json")


def fingerprint(root: Path = ROOT) -> str:
    """Names the sources, the Python and the compiler's version that a compiled tree was made of."""
    seen = hashlib.sha256(f"{sys.version} {os.environ.get('CC', '')}".encode())
    seen.update(Path(__file__).read_bytes())
    for path in sorted([*root.glob("ztproxy/**/*.py"), *root.glob("pyproject.toml")]):
        seen.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return seen.hexdigest()


def copy(root: Path, folder: Path) -> None:
    """A copy of what is built; what was there before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("ztproxy", "native"):
        shutil.copytree(root / name, folder / name, symlinks=True, ignore=_LEFT_OUT)
    for path in [*root.glob("*.md"), *root.glob("*.py"), root / "pyproject.toml", root / "Makefile", root / "LICENSE"]:
        shutil.copy2(path, folder)


def copy_beside(root: Path, folder: Path) -> None:
    """Tests and what else they need."""
    for name in _BESIDE:
        shutil.rmtree(folder / name, ignore_errors=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, symlinks=True, ignore=_LEFT_OUT)


def compile_in(folder: Path) -> None:
    """Compile the modules of the tree in `folder`, beside their sources there."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only here, so that a fingerprint needs none of it
    from setuptools import Distribution  # noqa: PLC0415 - likewise

    os.chdir(folder)
    # pyproject.toml's [tool.mypy] holds for what is named here, as it does for `make check`.
    sources = [f"ztproxy/{module}" for module in MODULES]
    extensions = mypycify(sources, opt_level="3", debug_level="0", group_name="ztproxy", target_dir="build/mypyc")
    distribution = Distribution({"name": "ztproxy", "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
    shutil.rmtree("build")


def main() -> int:
    """Make the tree unless it is there and current."""
    folder = Path(sys.argv[1]).resolve()
    stamp, wanted = folder / ".stamp", fingerprint()
    if not stamp.exists() or stamp.read_text() != wanted:
        copy(ROOT, folder)
        compile_in(folder)
        stamp.write_text(wanted)
    copy_beside(ROOT, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
