"""What may be compiled: mypyc drops the keywords of a class, so a frozen struct in a compiled module would not be."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = importlib.util.spec_from_file_location("compiled", ROOT / "native/compiled.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compiled = load()


@pytest.mark.parametrize("module", compiled.MODULES)
def test_no_compiled_module_has_a_class_whose_keywords_count(module):
    classes = [node for node in ast.walk(ast.parse((ROOT / "ztproxy" / module).read_text())) if is_class(node)]
    assert [node.name for node in classes if node.keywords] == []


def is_class(node):
    return isinstance(node, ast.ClassDef)


def test_a_tree_is_named_after_its_sources(tmp_path):
    (tmp_path / "ztproxy").mkdir()
    source = tmp_path / "ztproxy/one.py"
    source.write_text("a = 1\n")
    before = compiled.fingerprint(tmp_path)
    assert compiled.fingerprint(tmp_path) == before
    source.write_text("a = 2\n")
    assert compiled.fingerprint(tmp_path) != before
