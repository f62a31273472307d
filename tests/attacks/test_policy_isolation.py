"""Only the policy makes an `Authorized`, so nothing is forwarded that it did not allow."""

import ast
from pathlib import Path

import ztproxy

SOURCE = Path(ztproxy.__file__).parent
MAKERS = {"Authorized"}


def makes(tree):
    """Lines that could make an Authorized: a call of the name, however imported, or of a copy of one with changes."""
    aliases = set(MAKERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            aliases |= {name.asname for name in node.names if name.name in MAKERS and name.asname}
        elif isinstance(node, ast.Assign) and named(node.value) in MAKERS:
            aliases |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = named(node.func)
            if called in aliases or (called in {"convert", "decode", "Decoder"} and aliases & mentioned(node)):
                found.append(node.lineno)
    return found


def named(node):
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def mentioned(call):
    inside = [*call.args, *(keyword.value for keyword in call.keywords)]
    return {named(node) for part in inside for node in ast.walk(part)}


def test_only_the_policy_makes_an_authorized():
    places = {
        path.relative_to(SOURCE).as_posix(): lines
        for path in SOURCE.rglob("*.py")
        if (lines := makes(ast.parse(path.read_text("utf-8"))))
    }
    assert places.keys() == {"policy/stage.py"}, places
    assert len(places["policy/stage.py"]) == 1, places


def test_the_search_finds_what_it_looks_for():
    for text in (
        "Authorized(a)",
        "model.Authorized(a)",
        "from ztproxy.model import Authorized as A\nA(1)",
        "A = Authorized\nA(1)",
        "msgspec.convert({}, Authorized)",
        "msgspec.json.decode(b'', type=model.Authorized)",
    ):
        assert makes(ast.parse(text)), text
    assert not makes(ast.parse("isinstance(x, Authorized)"))
