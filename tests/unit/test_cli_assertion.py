import json

import pytest

from tests.unit.test_config_loading import PLAIN
from ztproxy.cli.main import main
from ztproxy.upstream.key_ring import FIRST, ring_of
from ztproxy.upstream.signing_key import create, load

RING = 'assertion: {keys: ring, issuer: "https://gateway.test"}\n'


@pytest.fixture
def run(tmp_path, capsys):
    path = tmp_path / "z.yaml"

    def run(*arguments, section=RING):
        path.write_text(PLAIN + section)
        try:
            code = main(["assertion", *arguments, "--config", str(path)])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_keys_are_listed_with_what_they_do(run, tmp_path):
    create(tmp_path / "ring" / FIRST)
    create(tmp_path / "ring" / "from-20200101T000000Z.pem")
    code, out, _ = run("rotate", "--json")
    made = json.loads(out)
    assert (code, made["removed"]) == (0, [str(tmp_path / "ring" / FIRST)])
    code, out, _ = run("keys", "--json")
    rows = json.loads(out)
    assert [(row["state"], row["kid"]) for row in rows] == [
        ("signs", load(tmp_path / "ring" / "from-20200101T000000Z.pem").kid),
        ("waits", made["kid"]),
    ]
    assert rows[1]["signs_from"] == made["signs_from"] > made["reload_before"]
    code, out, _ = run("keys")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["signs", "waits"]


def test_the_published_set_is_what_another_node_takes(run, tmp_path):
    create(tmp_path / "ring" / FIRST)
    code, out, _ = run("keys", "--jwks")
    (key,) = json.loads(out)["keys"]
    assert (code, key["kid"]) == (0, load(tmp_path / "ring" / FIRST).kid)
    (tmp_path / "peer.json").write_text(out)
    section = f'assertion: {{key: {tmp_path}/own.key, published: [peer.json], issuer: "https://gateway.test"}}\n'
    create(tmp_path / "own.key")
    code, out, _ = run("keys", "--jwks", section=section)
    # Its own, not what came from elsewhere: that would never end.
    assert [key["kid"] for key in json.loads(out)["keys"]] == [load(tmp_path / "own.key").kid]


def test_rotating_says_what_is_to_be_done_and_by_when(run, tmp_path):
    create(tmp_path / "ring" / FIRST)
    code, out, _ = run("rotate", "--ahead", "5m")
    assert code == 0
    assert "ztproxy reload` on every node, before 20" in out
    code, out, _ = run("rotate")
    assert (code, "waits for its time already" in out) == (1, True)
    code, out, _ = run("rotate", "--compromised")
    assert (code, len(ring_of(tmp_path / "ring"))) == (0, 1)
    assert "have upstreams forget" in out


@pytest.mark.parametrize(
    ("arguments", "section", "expected"),
    [
        (("keys",), "", "no `assertion` section"),
        (("keys",), RING, "the assertion keys cannot be read"),
        (("rotate",), RING, "the assertion keys cannot be read"),
        (("rotate", "--ahead", "soon"), RING, "a duration is a whole number"),
        (("rotate",), RING + "nonsense: 1\n", "unknown key `nonsense`"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments, section, expected):
    code, _, err = run(*arguments, section=section)
    assert code == 2
    assert expected in err


def test_a_ring_without_a_key_makes_none(run, tmp_path):
    (tmp_path / "ring").mkdir()
    code, _, err = run("keys")
    assert (code, "no key was made yet" in err) == (2, True)
    assert list((tmp_path / "ring").iterdir()) == []
