"""Step 8: make the student the champion, once its package has served.

The alias `champion` of the registered model moves in MLflow. If another student became champion since the verdict, the
step refuses, and running again judges anew. `rats rollback` makes the champion before it champion again.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def promote_student(promotion: dsl.Input[dsl.Artifact], summary: dsl.Output[dsl.Markdown]) -> None:
    """Move the alias champion in MLflow to the version that the verdict is about.

    Args:
        promotion: the verdict, and the versions that it is about.
        summary: who is champion now, and who was, to read.
    """
    from pathlib import Path

    from components.shared.step import recorded

    with recorded("promote_student") as record:
        from components.promote_student.work import promote

        record["headline"] = promote(Path(promotion.path), Path(summary.path))
