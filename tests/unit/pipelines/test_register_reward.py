"""`rats reward`: what it says after registering, and its list."""

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from tests.unit.components.conftest import empty_tracker, other_reward, pictures, register, root  # noqa: F401


@pytest.fixture
def rats(root):  # noqa: F811
    """A function that runs ``rats reward`` in the workspace and hands back what it prints."""

    def run(*words):
        ended = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["reward", *words, "--workspace", str(root)])
        assert ended.exit_code == 0, ended.exception
        return ended.output

    return run


def test_it_registers_lists_and_says_what_a_recipe_writes(rats, tiny_reward_dir, other_reward, pictures):  # noqa: F811
    assert "No reward is registered" in rats("list")
    how = ("--kind", "clip", "--licence", "CC [BY] 4.0", "--statistics-from", str(pictures))
    assert "tiny@1 is registered: kind clip" in rats("register", "tiny", str(tiny_reward_dir), *how)
    assert "path: tiny@2" in rats("register", "tiny", str(other_reward), *how)
    assert "tiny@1 is these very bytes, registered already" in rats("register", "tiny", str(tiny_reward_dir), *how)
    head, *rows = rats("list").splitlines()
    assert head.split() == ["reward", "kind", "licence", "mean", "±", "std", "measured", "on", "SHA-256", "registered"]
    assert [row.split()[:4] for row in rows] == [["tiny@1", "clip", "CC", "[BY]"], ["tiny@2", "clip", "CC", "[BY]"]]
