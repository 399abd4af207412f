"""The steps that `train_and_deploy` and `retrain_on_new_reward` have in common."""

from kfp import dsl

from components.evaluate_rewards.component import evaluate_rewards
from components.keep_champion.component import keep_champion
from components.package_student.component import package_student
from components.prepare.component import prepare
from components.promote_student.component import promote_student
from components.promotion_gate.component import promotion_gate
from components.report.component import report
from components.smoke_test.component import smoke_test
from components.train_student.component import train_student
from pipelines.parts.draw_trajectories import draw_trajectories
from pipelines.parts.placement import on_cluster, with_gpus, with_signing_key


def train_judge_and_deploy(
    recipe: str,
    overrides: list,
    force: str,
    trajectory_tasks: int,
    nodes: int,
    gpus_per_node: str,
    memory_per_node: str,
    workspace_claim: str,
) -> None:
    """Add steps 1 to 9 to the pipeline that is being written; the parameters are those of `train_and_deploy`."""
    prepared = prepare(recipe=recipe, overrides=overrides, force=force, trajectory_tasks=trajectory_tasks)
    # A recipe may name folders, whose content KFP's cache cannot see: always look again. The keys settle the rest.
    prepared.set_caching_options(enable_caching=False)
    keys, resolved = prepared.outputs, prepared.outputs["resolved"]

    drawn = draw_trajectories(
        key=keys["generate_trajectories"],
        latents_key=keys["teacher_latents"],
        shards=keys["shards"],
        recipe=resolved,
        gpus_per_node=gpus_per_node,
        memory_per_node=memory_per_node,
        workspace_claim=workspace_claim,
    )
    trained = train_student(key=keys["train_student"], recipe=resolved, trajectories=drawn.output, nodes=nodes)
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
        promoted = promote_student(promotion=promotion, package=packaged.outputs["package"]).after(smoke)
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

    on_cluster(workspace_claim, prepared, trained, evaluated, gate, packaged, smoke, promoted, kept, page)
    with_gpus(gpus_per_node, memory_per_node, trained, evaluated, gate, smoke)
    with_signing_key(packaged, smoke, promoted)
