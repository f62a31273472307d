import pytest

from ztproxy.cli.main import main


@pytest.fixture
def configuration(tmp_path):
    def written(text):
        path = tmp_path / "z.yaml"
        path.write_text(text)
        return str(path)

    return written


@pytest.mark.parametrize("command", ["reload", "status"])
def test_without_an_admin_socket_it_says_how_to_have_one(configuration, capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--config", configuration("version: 1\n")])
    assert ended.value.code == 2
    assert "admin: {address: unix:/run/ztproxy/admin.sock}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reload", "status"])
def test_where_nobody_answers_it_says_where(configuration, capsys, tmp_path, command):
    path = configuration(f"version: 1\nadmin: {{address: 'unix:{tmp_path}/nobody'}}\n")
    assert main([command, "--config", path]) == 2
    assert f"unix:{tmp_path}/nobody: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["version: 1\nadmin: {address: nowhere}\n", "admin: [\n", "version: 1\nadmin: 7\n"])
def test_an_admin_socket_that_cannot_be_read_is_named_with_its_place(configuration, capsys, text):
    with pytest.raises(SystemExit) as ended:
        main(["reload", "--config", configuration(text)])
    assert ended.value.code == 2
    assert "z.yaml:" in capsys.readouterr().err
