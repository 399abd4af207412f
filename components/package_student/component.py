"""Step 6: make the student a signed version in a Triton model repository.

The private key is the one in `$RATS_KEYS` (by default `~/.config/rats/keys`), made on first use.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def package_student(
    key: str,
    recipe: dsl.Input[dsl.Artifact],
    student: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    package: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Package the student with its schedule and scorecard, sign it, and check the signature.

    Args:
        key: content key of this step, from prepare.
        recipe: the resolved recipe.
        student: the trained student.
        evaluation: the folder with scorecard.json, which the package carries.
        package: the model repository.
        summary: what the package holds, to read.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step

    def work(folder: Path, progress: Progress) -> None:
        from components.package_student.work import package_repository

        package_repository(Path(recipe.path), Path(student.path), Path(evaluation.path), folder)

    run_step("package_student", key, work, {"package": package.path, "summary.md": summary.path})
