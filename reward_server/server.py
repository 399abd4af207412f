"""Serve a reward until Ctrl-C.

run_forever(read_spec("embedded:a"), host="127.0.0.1", port=8100, on_ready=print)
"""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
import yaml
from pydantic import ValidationError

from rats_train.devices import accelerator
from rats_train.errors import UserError
from rats_train.recipe_rewards import FOLDER_KINDS, RewardSpec, reward_kinds
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.remote.wire import Description
from reward_server.app import create_app
from reward_server.scorer import Scorer
from serving.listener import listen

PLACES: Final = 16
"""Requests that may be here at once; with bodies of `wire.MAX_BODY` they take a gibibyte."""


def read_spec(written: str) -> RewardSpec:
    """The reward that ``written`` means.

    Args:
        written: a kind that needs no path (``ocr``), a path (``embedded:a``), a spec as in a recipe
            (``{kind: hpsv2, path: models/hpsv2}``), or a YAML file that holds one.

    Raises:
        UserError: it is none of these.
    """
    values = _values(written)
    if isinstance(values, str):
        values = {"kind": values} if values in _alone() else {"path": values}
    if isinstance(values, dict):
        values = {"name": values.get("kind", "reward"), **values}
    try:
        spec = RewardSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{written!r} is no reward: {where + ': ' if where else ''}{message}. {_advice()}") from error
    if spec.kind == "remote":
        raise UserError(f"{written!r} is served already: name that address in the recipe. {_advice()}")
    return spec


def run_forever(spec: RewardSpec, *, host: str, port: int, on_ready: Callable[[str, Description], None]) -> None:
    """Load a reward and serve it until SIGINT or SIGTERM. Call it from the main thread.

    Args:
        spec: the reward.
        host: address to listen on.
        port: port to listen on, 0 for any free one.
        on_ready: called once with the URL and what is served there.

    Raises:
        UserError: the reward's folder or package is missing, or the port is in use.
    """
    reward = load_reward(spec).to(accelerator())
    description = Description.of(reward, spec.kind, reward_digest(spec))
    app = create_app(Scorer(reward, PLACES), description)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        on_ready("http://{}:{}".format(*listener.getsockname()), description)
        settings = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        uvicorn.Server(settings).run(sockets=[listener])


def _values(written: str) -> Any:
    file = Path(written).expanduser()
    try:
        return yaml.safe_load(file.read_text() if file.is_file() else written)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{written} is not YAML: {' '.join(str(error).split())}. {_advice()}") from error


def _alone() -> list[str]:
    """Kinds that may come without a path."""
    return [kind for kind in reward_kinds() if kind not in (*FOLDER_KINDS, "remote")]


def _advice() -> str:
    kinds = ", ".join(kind for kind in reward_kinds() if kind != "remote")
    return (
        "Write a path such as embedded:a, a spec such as '{kind: hpsv2, path: models/hpsv2}', or a YAML file with "
        f"one; the kinds are {kinds}."
    )
