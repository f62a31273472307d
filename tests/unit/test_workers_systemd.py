import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from ztproxy.workers.systemd import Notify, take_sockets, watchdog_interval

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def test_facts_are_told_a_line_each(manager, tmp_path):
    with closing(Notify(str(tmp_path / "notify"))) as notify:
        notify.ready("all\nwell")
        assert manager.recv(4096) == b"READY=1\nSTATUS=all well"
        notify.reloading()
        told = dict(line.split("=") for line in manager.recv(4096).decode().splitlines())
        assert told.keys() == {"RELOADING", "MONOTONIC_USEC"}
        assert int(told["MONOTONIC_USEC"]) > 0
        notify.stopping("draining")
        assert manager.recv(4096) == b"STOPPING=1\nSTATUS=draining"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_meant_by_its_sign():
    name = f"ztproxy-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(5)
        with closing(Notify(f"@{name}")) as notify:
            notify(WATCHDOG=1)
        assert sock.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "relative", "/nobody/listens"])
def test_where_nobody_listens_nothing_happens(address):
    with closing(Notify(address)) as notify:
        notify.ready("well")
    notify.ready("still")


def test_a_full_socket_is_not_waited_for(manager, tmp_path):
    with closing(Notify(str(tmp_path / "notify"))) as notify:
        for _ in range(2000):
            notify(WATCHDOG=1)
    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_waits_for_whom_it_names(environment, seconds):
    assert watchdog_interval(environment, 7) == seconds


@pytest.mark.parametrize(
    "environment", [{}, {"LISTEN_FDS": "1", "LISTEN_PID": "8"}, {"LISTEN_FDS": "-1", "LISTEN_PID": "7"}]
)
def test_sockets_for_another_process_are_not_taken(environment):
    assert take_sockets(environment, 7) == []
    assert environment == {}


def test_handed_over_sockets_are_taken_with_their_names_and_not_passed_on():
    script = (
        "import os, socket\n"
        "first, second = socket.create_server(('127.0.0.1', 0)), socket.create_server(('127.0.0.1', 0))\n"
        "a, b = os.dup(first.fileno()), os.dup(second.fileno())\n"
        "os.dup2(a, 3); os.dup2(b, 4)\n"
        "os.environ |= {'LISTEN_FDS': '2', 'LISTEN_PID': str(os.getpid()), 'LISTEN_FDNAMES': '8443:plain'}\n"
        "from ztproxy.workers.systemd import take_sockets\n"
        "taken = take_sockets(os.environ, os.getpid())\n"
        "assert [name for name, _ in taken] == ['8443', 'plain'], taken\n"
        "assert taken[0][1].getsockname() and not os.get_inheritable(3) and 'LISTEN_FDS' not in os.environ\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
