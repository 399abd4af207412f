"""What servers that were killed leave behind."""

import shutil
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


def remove_shared_memory(prefix: str) -> None:
    """Delete the shared-memory regions whose names start with `prefix`."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def remove_leftovers() -> None:
    """Delete the shared memory and the working folders of supervisors that were killed."""
    for place in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        for left in place.glob("rats_*_*"):
            owner = left.name.split("_")[1]
            if owner.isdecimal() and not Path("/proc", owner).exists():
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
