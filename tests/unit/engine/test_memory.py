"""Memory that runs out is one line with its phase and three settings."""

import pytest
import torch

from rats_train.config import Recipe
from rats_train.engine.memory import out_of_memory_explained, remedies
from rats_train.errors import OutOfMemoryError
from rats_train.phases import phase

RECIPE = Recipe.model_validate({"name": "tiny", "rewards": {"train": [{"name": "a", "path": "a"}]}})


def test_a_failed_allocation_names_phase_step_and_three_settings() -> None:
    with (
        pytest.raises(OutOfMemoryError) as caught,
        out_of_memory_explained(RECIPE, step=4, kept="the last checkpoint"),
        phase("decode"),
    ):
        torch.empty(2**50)
    assert str(caught.value) == (
        "Out of memory in the decode phase of step 5; the last checkpoint is kept. Set training.recompute=both, "
        "training.offload_text_encoders=true, training.precision=bf16, and run again."
    )


def test_another_error_passes() -> None:
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_explained(RECIPE, step=0, kept="nothing"):
        raise RuntimeError("shapes do not match")


def test_what_is_in_force_is_not_suggested() -> None:
    thrifty = {"recompute": "both", "offload_text_encoders": True, "precision": "bf16", "batch_size": 1, "lora": {}}
    recipe = Recipe.model_validate(RECIPE.model_dump() | {"training": thrifty, "student": {"steps": [3]}})
    assert remedies(recipe) == ["a smaller resolution"]
    online = Recipe.model_validate(recipe.model_dump() | {"teacher": {"source": "ema"}})
    assert "teacher.source=store" in remedies(online)
