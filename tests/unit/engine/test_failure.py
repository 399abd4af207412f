from pathlib import Path

import pytest

from rats_train.engine.failure import clear_failure, raise_failure, write_failure
from rats_train.errors import OutOfMemoryError, RetryableError, UserError


@pytest.mark.parametrize(
    ("kind", "code"), [(UserError, 2), (OutOfMemoryError, 3), (RetryableError, 75), (RuntimeError, 1)]
)
def test_a_failure_arrives_as_what_it_was(tmp_path: Path, kind: type[Exception], code: int) -> None:
    write_failure(tmp_path, code, "what was wrong")
    with pytest.raises(kind, match="what was wrong") as caught:
        raise_failure(tmp_path)
    assert type(caught.value) is kind


def test_no_word_means_killed(tmp_path: Path) -> None:
    write_failure(tmp_path, 2, "of an earlier attempt")
    clear_failure(tmp_path)
    with pytest.raises(RetryableError, match="killed from outside"):
        raise_failure(tmp_path)
