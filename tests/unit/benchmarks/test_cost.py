"""docs/cost.md is what its command writes today, over teachers of the sizes that were published."""

import pytest

from benchmarks.cost import OUTLINES, PAGE, page, sized
from pipelines.forecast.estimate import count_evaluations

# SD3.5 with its table of positions, which lies in the file beside 2.24 B that learn.
PUBLISHED = {"sd35_medium": 2.47e9, "flux1_dev": 11.9e9, "wan21_t2v_1_3b": 1.42e9}


def test_the_page_is_not_stale():
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", OUTLINES)
def test_a_teacher_has_its_published_size(name, tmp_path):
    recipe, network = sized(name, tmp_path)
    assert network.transformer == pytest.approx(PUBLISHED[name], rel=0.02)
    assert count_evaluations(recipe)["generate_trajectories"] == (
        recipe.trajectories.count * recipe.teacher.steps * recipe.teacher_evaluations
    )
