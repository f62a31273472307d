import json
import subprocess
import sys
from pathlib import Path

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


def test_version_as_json(capsys):
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ztproxy"] == ztproxy.__version__


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_traceback():
    command = [sys.executable, "-m", "ztproxy", "config", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, as on Linux")
def test_a_full_disk_is_said_in_a_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ztproxy", "config", "schema"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"ztproxy: No space left on device\n"


def test_an_interrupt_is_no_traceback(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ztproxy.cli.config.schema", interrupted)
    assert main(["config", "schema"]) == 130


@pytest.mark.parametrize("port", ["-1", "65536", "x", ""])
def test_a_port_of_the_demo_is_one(port, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port", port])
    assert ended.value.code == 2
    assert "a port is a number up to 65535" in capsys.readouterr().err
