"""Step 1: resolve the recipe, and say by content key what each later step depends on.

A key is made of the step's code (everything it can import, found by reading the sources), its parts of the recipe, the
digests of the folders and files that it names, and the keys of the steps before. It is never cached itself: what lies
in a folder can change while its path stays.

A reward that is named by version (`path: hpsv2@3`) is looked up in the tracker at `MLFLOW_TRACKING_URI`, or in
`<workspace>/mlflow.db`: kind, digest and statistics are written into the resolved recipe, and its files go to
`$RATS_CACHE`. Later steps fetch what their machine lacks.
"""

from typing import NamedTuple

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def prepare(
    recipe: str,
    overrides: list,
    resolved: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    force: str = "",
    trajectory_tasks: int = 1,
) -> NamedTuple(
    "Keys",
    [
        ("teacher_latents", str),
        ("generate_trajectories", str),
        ("train_student", str),
        ("evaluate_rewards", str),
        ("promotion_gate", str),
        ("package_student", str),
        ("smoke_test", str),
        ("report", str),
        ("shards", list),
    ],
):
    """Resolve the recipe and compute the content key of every step.

    Args:
        recipe: name of a packaged recipe, or path of a YAML file.
        overrides: changes such as "training.steps=20".
        resolved: the whole recipe as YAML, defaults included and registered rewards pinned by digest.
        summary: the recipe and the keys, to read.
        force: any word that was not used before does all the work again.
        trajectory_tasks: into how many tasks the drawing of the trajectories is divided, at most one a shard.

    Returns:
        One content key a step, and before them that of what the teacher draws, whatever rewards score it; equal keys
        promise equal results. Last, the shards of each of the tasks.
    """
    from components.prepare.resolve import resolve
    from components.shared.keys import step_keys
    from components.shared.step import recorded
    from components.shared.summary import publish_summary, table
    from rats_train.config import dump_recipe, load_recipe, recipe_digest
    from rats_train.files import atomic_write_text
    from rats_train.trajectories.shards import deal_shards

    with recorded("prepare"):
        loaded = resolve(load_recipe(recipe, overrides))
        keys = step_keys(loaded, force)
        shards = deal_shards(loaded, trajectory_tasks)
        text = dump_recipe(loaded)
        atomic_write_text(resolved.path, text)
        title = f"# Recipe {loaded.name}, digest {recipe_digest(loaded)}"
        rows = table(["step", "content key"], list(keys.items()))
        publish_summary(f"{title}\n\n{rows}\n\n```yaml\n{text}```", summary.path)
    return (*keys.values(), shards)
