import socket

import pytest

from rats_train.errors import UserError
from serving.endpoint import listen, serve


def test_a_port_in_use_is_named_with_the_option():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127\.0\.0\.1 is in use.*--port"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"cannot listen on 203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_answers_are_not_held_back_by_nagle():
    # asyncio switches Nagle's algorithm off only on sockets that say they are TCP.
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_repository_without_students_fails_before_triton_starts(tmp_path, monkeypatch):
    (tmp_path / "signing.pub.pem").touch()
    monkeypatch.setenv("RATS_KEYS", str(tmp_path))
    with pytest.raises(UserError, match="holds no packaged student"), serve(tmp_path / "models", http_port=0):
        pass
