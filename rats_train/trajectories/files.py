"""A finished file of a trajectory store, by its digest."""

from dataclasses import dataclass
from pathlib import Path

from rats_train.files import sha256_file


@dataclass(frozen=True)
class FileEntry:
    """One finished file of the store."""

    file: str
    sha256: str
    rows: int

    def intact(self, store: Path) -> bool:
        """Whether the file is there with the very bytes that were written."""
        return (store / self.file).is_file() and sha256_file(store / self.file) == self.sha256
