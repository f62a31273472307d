import socket

import pytest

from ztproxy.config.values import TcpAddress, UnixAddress
from ztproxy.edge.binding import BindError
from ztproxy.workers.sockets import Sockets


def free(sock: socket.socket) -> TcpAddress:
    return TcpAddress(*sock.getsockname()[:2])


def reachable(address: TcpAddress) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_only_what_is_new_is_bound_and_what_is_left_out_is_let_go():
    sockets = Sockets()
    first, second = TcpAddress("127.0.0.1", 0), TcpAddress("localhost", 0)
    assert sockets.bind([first]) == [str(first)]
    assert sockets.bind([first, second]) == [str(second)]
    bound = [free(sock) for sock in sockets.of([str(first), str(second)])]
    assert all(map(reachable, bound))
    sockets.keep_only([str(second)])
    assert [reachable(one) for one in bound] == [False, True]
    sockets.keep_only([])
    assert not reachable(bound[1])


def test_a_change_that_cannot_be_bound_whole_binds_nothing(tmp_path):
    sockets = Sockets()
    unix = UnixAddress(tmp_path / "s")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(BindError, match="cannot listen on"):
            sockets.bind([unix, free(taken)])
    assert not unix.path.exists()


def test_a_unix_sockets_file_goes_with_it_unless_it_is_anothers_by_then(tmp_path):
    sockets = Sockets()
    ours, theirs = UnixAddress(tmp_path / "ours"), UnixAddress(tmp_path / "theirs")
    sockets.bind([ours, theirs])
    theirs.path.unlink()
    theirs.path.write_text("another's")
    sockets.keep_only([])
    assert not ours.path.exists()
    assert theirs.path.read_text() == "another's"


def test_a_handed_over_socket_is_found_by_where_it_is_bound_or_by_its_name():
    with socket.create_server(("127.0.0.1", 0)) as by_place, socket.create_server(("127.0.0.1", 0)) as by_name:
        wanted = free(by_place)
        named = TcpAddress("0.0.0.0", 8443)
        sockets = Sockets([("unnamed", by_place), ("8443", by_name)])
        sockets.bind([wanted, named])
        assert sockets.of([str(wanted), str(named)]) == [by_place, by_name]
        assert sockets.unused == []
        sockets.keep_only([str(wanted)])
        assert sockets.unused == [f"8443 ({free(by_name)})"]
        sockets.bind([named])  # whoever handed it over listens on: it is not bound a second time
        assert sockets.of([str(named)]) == [by_name]
