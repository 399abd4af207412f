"""Step 8: make the student the champion, once its package has served.

The alias `champion` of the registered model moves in MLflow. If another student became champion since the verdict, the
step refuses, and running again judges anew. `rats rollback` makes the champion before it champion again.

Where `RATS_MODELS` names a model repository, as in a cluster, the package is brought there and served from then on;
on a laptop `rats serve` looks up the champion's package itself.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def promote_student(
    promotion: dsl.Input[dsl.Artifact], package: dsl.Input[dsl.Model], summary: dsl.Output[dsl.Markdown]
) -> None:
    """Move the alias champion in MLflow to the version that the verdict is about, and serve its package.

    Args:
        promotion: the verdict, and the versions that it is about.
        package: the model repository with the signed version that was tried.
        summary: who is champion now, and who was, to read.
    """
    from pathlib import Path

    from components.shared.step import recorded

    with recorded("promote_student") as record:
        from components.promote_student.work import deploy_package, promote

        record["headline"] = promote(Path(promotion.path), Path(summary.path))
        deploy_package(Path(package.path))
