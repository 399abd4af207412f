"""What the gateway asks of whatever draws: `serving.triton.supervisor.Supervisor` is one."""

from typing import Protocol

from serving.package.contents import Package
from serving.protocol import Job
from serving.triton.client import OnPreview, Picture


class ModelServer(Protocol):
    """Draws with packaged students."""

    packages: dict[str, Package]
    """The served version of each model, by name."""

    async def draw(self, model: str, job: Job, timeout: float, on_preview: OnPreview | None = None) -> Picture:
        """One picture; cancel the task that waits for it to give it up.

        Raises:
            RefusedError, BusyError, BrokenError: of `serving.triton.client`; it was not drawn.
        """
        ...

    def slots(self, model: str) -> int:
        """How many pictures of `model` are drawn at once."""
        ...

    async def prove(self, model: str, timeout: float) -> None:
        """Return if `model` has just drawn a picture, or draws its canary now.

        Raises:
            BrokenError, BusyError: it did not.
        """
        ...
