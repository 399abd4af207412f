"""The pipeline that judges a student which is there already: after a new benchmark, a new judge, a doubt."""

from kfp import dsl

from components.evaluate_rewards.component import evaluate_rewards
from components.key_student.component import key_student
from components.prepare.component import prepare
from pipelines.parts.ending import reported_end
from pipelines.parts.parameters import described
from pipelines.parts.placement import on_cluster, with_gpus


@dsl.pipeline(name="evaluate-only", display_name="RATS: judge a student that is there already")
@described(
    student="address of the student that a run made, such as s3://bucket/.../student; on a laptop, its folder.",
    log="address of the log beside it.",
    overrides='changes to the recipe, such as ["evaluation.count=512"].',
    gpus_per_node='GPUs of the step that draws and judges; "0" for none.',
    memory_per_node='memory limit of that step, such as "64Gi".',
)
def evaluate_only(
    student: str,
    log: str,
    recipe: str = "emoji",
    overrides: list = [],  # noqa: B006 (KFP reads the default only)
    force: str = "",
    gpus_per_node: str = "0",
    memory_per_node: str = "16Gi",
    workspace_claim: str = "rats-workspace",
) -> None:
    """Judge a student against the recipe's teacher, and enter the result into MLflow; nothing is promoted.

    1. Prepares: resolves the recipe.
    2. Imports the student and the log of its training.
    3. Computes the content key of this evaluation.
    4. Evaluates student and teacher on held-out prompts, and enters the result into MLflow.
    5. However that ended, says so in MLflow.
    """
    with dsl.ExitHandler(reported_end(recipe, workspace_claim), name="steps"):
        prepared = prepare(recipe=recipe, overrides=overrides, force=force)
        # A recipe may name folders, whose content KFP's cache cannot see: always look again. The keys settle the rest.
        prepared.set_caching_options(enable_caching=False)
        # What lies at an address may change as well.
        made = dsl.importer(artifact_uri=student, artifact_class=dsl.Model, reimport=True)
        learned = dsl.importer(artifact_uri=log, artifact_class=dsl.Artifact, reimport=True)
        keyed = key_student(key=prepared.outputs["evaluate_rewards"], student=made.output, log=learned.output)
        keyed.set_caching_options(enable_caching=False)
        evaluated = evaluate_rewards(
            key=keyed.outputs["Output"],
            recipe=prepared.outputs["resolved"],
            student=made.output,
            log=learned.output,
        )
        on_cluster(workspace_claim, prepared, keyed, evaluated)
        with_gpus(gpus_per_node, memory_per_node, evaluated)
