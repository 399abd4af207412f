"""Step 8: make the student the champion, once its package has served."""

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
