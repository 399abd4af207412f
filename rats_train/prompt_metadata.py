"""What the prompt files of a recipe say of their prompts, for rewards that read it."""

from collections.abc import Mapping
from typing import Any

from rats_train.config import Recipe
from rats_train.prompt_file import read_tagged_prompts


def prompt_metadata(recipe: Recipe) -> dict[str, Mapping[str, Any]]:
    """The row of each prompt by its text, for both prompt files; prompts of plain lists have none.

    Raises:
        UserError: a file is missing or is not of its format.
    """
    files = {"trajectories.prompts": recipe.trajectories.prompts, "evaluation.prompts": recipe.evaluation.prompts}
    prompts = [prompt for key, path in files.items() if path != "embedded" for prompt in read_tagged_prompts(path, key)]
    return {prompt.text: prompt.metadata for prompt in prompts if prompt.metadata}
