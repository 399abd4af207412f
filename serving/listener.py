"""A socket to serve on, or one line that says why there is none."""

import errno
import socket

from rats_train.errors import UserError


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UserError: the port is taken or not ours to take, or the host is not this machine's.
    """
    # Named TCP, or asyncio does not switch Nagle's algorithm off on what it accepts: 40 ms on every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
        return listener
    except OSError as error:
        listener.close()
        advice = "choose another with --port (0 takes any free one)"
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} on {host} is in use: stop the program that holds it, or {advice}") from error
        if error.errno == errno.EACCES:
            raise UserError(f"port {port} needs more rights than this user has: {advice}") from error
        raise UserError(f"cannot listen on {host}: {error.strerror}; give an address of this machine") from error
