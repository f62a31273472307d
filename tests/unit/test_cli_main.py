import pytest

import ztproxy
from ztproxy.cli.main import main, parser


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("run", "demo", "config", "policy", "version"))


@pytest.mark.parametrize("words", [[], ["nonsense"], ["run", "--nonsense"], ["config"], ["policy"]])
def test_what_is_no_command_could_not_run(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: ztproxy" in capsys.readouterr().err


def test_version_names_what_it_is_made_of(capsys):
    assert main(["version"]) == 0
    said = capsys.readouterr().out
    assert f"ztproxy {ztproxy.__version__}" in said
    assert "OPA 1." in said
    assert "OpenSSL" in said


def test_options_are_not_guessed_from_their_beginnings():
    with pytest.raises(SystemExit):
        parser().parse_args(["--vers"])
