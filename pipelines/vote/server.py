"""The page of a vote and what it asks: the next pair as pictures without a name, and a place to put the choice."""

import base64
import contextlib
import re
import secrets
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import Cookie, Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from pipelines.vote.ballot import Ballot, Choice
from pipelines.vote.votes import Vote, VoteLog
from rats_train.evaluation.pictures import to_picture
from serving.listener import listen
from serving.pictures import encode

COOKIE = "rats_voter"
_VOTER = re.compile(r"[0-9a-f]{32}")
_YEAR = 365 * 24 * 3600
# Smaller pictures are enlarged here, by a better filter than a browser's.
_SHOWN = 512
_PAGE = Path(__file__).with_name("page.html")
# The page is one file: whatever else it were made to fetch or run, the browser refuses.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Choose(BaseModel):
    """What the page sends: the place of a pair in this voter's order, and the choice."""

    model_config = ConfigDict(extra="forbid")

    position: int
    choice: Choice


def create_app(ballot: Ballot, log: VoteLog) -> FastAPI:
    """The page of ``ballot`` whose votes go into ``log``. Nothing that it answers tells who drew what."""
    app = FastAPI(title="RATS vote", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def page(rats_voter: Annotated[str | None, Cookie()] = None) -> Response:
        """The page; a new voter gets a random name to be known by on the next visit."""
        answer = Response(_PAGE.read_bytes(), media_type="text/html", headers=_HEADERS)
        if not _is_voter(rats_voter):
            answer.set_cookie(COOKIE, secrets.token_hex(16), max_age=_YEAR, httponly=True, samesite="strict")
        return answer

    @app.get("/progress")
    def progress(voter: Annotated[str, Depends(_voter)]) -> dict[str, Any]:
        """How far this voter is, and where to go on; ``next`` is null after the last pair."""
        return _progress(ballot, log, voter)

    @app.get("/pairs/{position}")
    def pair(position: int, voter: Annotated[str, Depends(_voter)], response: Response) -> dict[str, Any]:
        """A pair of this voter's order, and what was chosen if it was."""
        row = _row(ballot, voter, position)
        given = [vote for vote in log.read() if (vote.voter, vote.pair) == (voter, row)]
        left, right = map(_data_uri, ballot.pictures(voter, row))
        response.headers["Cache-Control"] = "no-store"
        return {
            "position": position,
            "prompt": ballot.prompt(row),
            "left": left,
            "right": right,
            "choice": _choice(ballot, given[0]) if given else None,
        }

    @app.post("/votes")
    def vote(body: Choose, voter: Annotated[str, Depends(_voter)]) -> dict[str, Any]:
        """Keep a choice, in place of an earlier one of this voter on this pair."""
        row = _row(ballot, voter, body.position)
        winner = ballot.winner(voter, row, body.choice)
        log.add(Vote(voter=voter, pair=row, winner=winner, at=datetime.now(UTC).isoformat(timespec="seconds")))
        return _progress(ballot, log, voter)

    return app


def serve_vote(ballot: Ballot, log: VoteLog, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM; ``on_ready`` is told its address. Call it from the main thread.

    Raises:
        UserError: the port is in use, or the host is not this machine's.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        on_ready("http://{}:{}".format(*listener.getsockname()))
        settings = uvicorn.Config(create_app(ballot, log), log_config=None, access_log=False, server_header=False)
        uvicorn.Server(settings).run(sockets=[listener])


def _is_voter(name: str | None) -> bool:
    return name is not None and _VOTER.fullmatch(name) is not None


def _voter(rats_voter: Annotated[str | None, Cookie()] = None) -> str:
    if rats_voter is None or not _is_voter(rats_voter):
        raise HTTPException(400, "Open the page itself first, and allow its cookie: it keeps your votes apart.")
    return rats_voter


def _row(ballot: Ballot, voter: str, position: int) -> int:
    if not 0 <= position < len(ballot):
        raise HTTPException(404, f"There are {len(ballot)} pairs, counted from 0.")
    return ballot.order(voter)[position]


def _progress(ballot: Ballot, log: VoteLog, voter: str) -> dict[str, Any]:
    done = {vote.pair for vote in log.read() if vote.voter == voter}
    left = (position for position, row in enumerate(ballot.order(voter)) if row not in done)
    return {"total": len(ballot), "done": len(done), "next": next(left, None)}


def _choice(ballot: Ballot, vote: Vote) -> Choice:
    if vote.winner is None:
        return "tie"
    left, _ = ballot.sides(vote.voter, vote.pair)
    return "left" if vote.winner == left.digest else "right"


def _data_uri(image: Tensor) -> str:
    """A picture or a video inside the answer itself, without loss: an address of its own could tell who drew it."""
    frames = image[None] if image.ndim == 3 else image
    size = max(_SHOWN, *image.shape[-2:])
    shown = np.stack([np.asarray(to_picture(frame, size)) for frame in frames])
    return "data:image/webp;base64," + base64.b64encode(encode(shown[0] if len(shown) == 1 else shown, "webp")).decode()
