"""The pipeline: from a slow teacher to a served few-step student. One object, for a laptop and for a cluster."""

from kfp import dsl

from components.evaluate_rewards.component import evaluate_rewards
from components.generate_trajectories.component import generate_trajectories
from components.keep_champion.component import keep_champion
from components.package_student.component import package_student
from components.prepare.component import prepare
from components.promote_student.component import promote_student
from components.promotion_gate.component import promotion_gate
from components.report.component import report
from components.smoke_test.component import smoke_test
from components.train_student.component import train_student
from pipelines.cluster import on_cluster, with_gpus, with_signing_key


@dsl.pipeline(name="train-and-deploy", display_name="RATS: train a few-step student and deploy it")
def train_and_deploy(
    recipe: str = "emoji",
    overrides: list = [],  # noqa: B006 (KFP reads the default only)
    force: str = "",
    nodes: int = 1,
    gpus_per_node: str = "0",
    memory_per_node: str = "16Gi",
    workspace_claim: str = "rats-workspace",
) -> None:
    """Turn a 50-step teacher into a student of a few steps, and serve it if it earned that.

    1. Prepares: resolves the recipe and computes the content key of every step.
    2. Generates the teacher's trajectories, once.
    3. Trains the student with RATS.
    4. Evaluates student and teacher on held-out prompts, and enters the result into MLflow.
    5. Decides on promotion, against the champion and the full teacher, on what neither student was trained on.
    6. If promoted, packages and signs the student; otherwise the champion stays.
    7. Serves the package with the real server, and compares its pixels with stock diffusers.
    8. Makes it the champion.
    9. Reports.

    Args:
        recipe: name of a packaged recipe, or path of a YAML file that every step can read.
        overrides: changes to the recipe, such as ["training.steps=20"].
        force: any word that was not used before, such as a date, does all the work again; empty reuses what is done.
        nodes: how many nodes of a cluster train together; training.world_size is spread over them.
        gpus_per_node: GPUs of each training node, and of the steps that draw and judge; "0" for none.
        memory_per_node: memory limit of each of them, such as "64Gi".
        workspace_claim: the ReadWriteMany claim that holds all work; equal content is never computed twice on it.

    The last four say nothing to a laptop, where every step takes what there is.
    """
    prepared = prepare(recipe=recipe, overrides=overrides, force=force)
    # A recipe may name folders, whose content KFP's cache cannot see: always look again. The keys settle the rest.
    prepared.set_caching_options(enable_caching=False)
    keys, resolved = prepared.outputs, prepared.outputs["resolved"]

    trajectories = generate_trajectories(key=keys["generate_trajectories"], recipe=resolved)
    store = trajectories.outputs["store"]
    trained = train_student(key=keys["train_student"], recipe=resolved, store=store, nodes=nodes)
    student, log = trained.outputs["student"], trained.outputs["log"]
    evaluated = evaluate_rewards(key=keys["evaluate_rewards"], recipe=resolved, student=student, log=log)
    evaluation = evaluated.outputs["evaluation"]
    gate = promotion_gate(
        key=keys["promotion_gate"], student_key=keys["evaluate_rewards"], recipe=resolved, evaluation=evaluation
    )
    # Who is champion may have changed since the same content was judged.
    gate.set_caching_options(enable_caching=False)
    promotion = gate.outputs["promotion"]

    with dsl.If(gate.outputs["Output"] == "promote"):
        packaged = package_student(key=keys["package_student"], recipe=resolved, student=student, evaluation=evaluation)
        smoke = smoke_test(key=keys["smoke_test"], student=student, package=packaged.outputs["package"])
        promoted = promote_student(promotion=promotion).after(smoke)
        promoted.set_caching_options(enable_caching=False)
    with dsl.Else():
        kept = keep_champion()

    page = report(
        key=keys["report"],
        served=dsl.OneOf(smoke.outputs["Output"], kept.outputs["Output"]),
        recipe=resolved,
        log=log,
        evaluation=evaluation,
        promotion=promotion,
    )
    # It shows the verdict, which no key holds.
    page.set_caching_options(enable_caching=False)

    steps = (prepared, trajectories, trained, evaluated, gate, packaged, smoke, promoted, kept, page)
    on_cluster(workspace_claim, *steps)
    # Not the smoke test: inside a condition, KFP loses parameters that only a task's resources ask for.
    with_gpus(gpus_per_node, memory_per_node, trajectories, trained, evaluated)
    with_signing_key(packaged, smoke)
