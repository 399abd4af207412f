"""Step 3: train the few-step student on the teacher's trajectories and the reward.

On a laptop torchrun starts in the step itself. In a pod the step starts a Kubeflow TrainJob (runtime
`torch-distributed`, Kubeflow Trainer 2.2 or later) with the resources, tolerations, node selector, affinity,
environment and volumes that the task was given, shows its progress and logs, and deletes it when it is over or the
run is terminated. The workspace lies on a ReadWriteMany volume. Nodes that are taken away cost what came after the
last checkpoint: the step starts the job again, until three attempts in a row have brought no step forward. How it
ends:

| status | why | again? |
| --- | --- | --- |
| 0 | the student is there | |
| 1 | an error in the code | no |
| 2 | a mistake in the recipe, or Kubernetes refused | no |
| 3 | a pod or a GPU had too little memory | not without a change |
| 75 | terminated, or nodes that never last | yes: it goes on from the last checkpoint |

Killed in whatever way, it carries on from its last checkpoint when the step runs again, and ends with the same loss.

Every `training.watch_every` steps the student draws 32 held-out prompts that the evaluation does not use. The student
that comes out is the one of the best such look by the held-out rewards; `result.json` says which step that was.
"""

from typing import List  # noqa: UP035 (KFP reads it)

from kfp import dsl

from components.image import BASE_IMAGE

# What the step is given goes on to the pods of its TrainJob; volumes and environment it needs as well.
PASSED_ON = [
    dsl.TaskConfigField.RESOURCES,
    dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
    dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
    dsl.TaskConfigField.KUBERNETES_AFFINITY,
    dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
    dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.KUBERNETES_VOLUMES, apply_to_task=True),
]


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False, task_config_passthroughs=PASSED_ON)
def train_student(
    key: str,
    recipe: dsl.Input[dsl.Artifact],
    trajectories: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    task_config: dsl.TaskConfig,
    student: dsl.Output[dsl.Model],
    log: dsl.Output[dsl.Artifact],
    curves: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    nodes: int = 1,
) -> None:
    """Train the student with DeepSpeed under torchrun; a killed attempt is resumed from its last checkpoint.

    On a laptop torchrun starts here. In a cluster this step starts a Kubeflow TrainJob, waits for it, and deletes it
    when the run is terminated.

    Args:
        key: content key of this step, from prepare.
        recipe: the resolved recipe.
        trajectories: the shards of the teacher's trajectories, in as many parts as there were tasks.
        task_config: resources, tolerations, node selector, affinity, environment and volumes of this task, which the
            backend fills in and the pods of the training get; empty on a laptop.
        student: a stock diffusers folder that carries its few-step schedule.
        log: losses, rewards and gate of every step and of every sample, the held-out watch, and alarms.
        curves: the same, as figures.
        summary: how the training ended, to read.
        metrics: final loss, rewards and gate.
        nodes: how many nodes of a cluster train together; training.world_size processes are spread over them.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.train_student.work import train

        train(Path(recipe.path), [Path(part.path) for part in trajectories], folder, nodes, task_config)

    outputs = {"student": student.path, "log": log.path, "curves.html": curves.path, "summary.md": summary.path}
    folder = run_step("train_student", key, work, outputs, resumes=True)
    log_metrics(metrics, folder)
