"""What an evaluation leaves behind as JSON files that later steps read: scores, scorecard, verdict."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rats_train.errors import UserError
from rats_train.files import atomic_write_text, read_json


class Document(BaseModel):
    """A file of one kind, closed to keys that it does not know.

    Attributes:
        called: what it is called in errors, with its article where it has one.
        cure: what makes one of this version.
        indent: spaces a level; None: one line, for files that nobody reads by eye.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    called: ClassVar[str]
    cure: ClassVar[str]
    indent: ClassVar[int | None] = 2

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic_write_text(path, self.model_dump_json(indent=self.indent) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: the file is missing, cut short, or of another shape.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise UserError(f"{path} does not hold {cls.called} of this version: {cls.cure}.") from error
