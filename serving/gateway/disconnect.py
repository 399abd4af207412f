"""Work that is not worth finishing when nobody waits for it any more."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

T = TypeVar("T")


class ClientLeftError(Exception):
    """The caller closed the connection before the answer."""


async def unless_left(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the caller of `request` leaves.

    Raises:
        ClientLeftError: the caller left.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
