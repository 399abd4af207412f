"""Judging alone: the key of an evaluation of any student, by what the student is and not by how it came about."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def key_student(
    key: str, student: dsl.Input[dsl.Model], log: dsl.Input[dsl.Artifact], summary: dsl.Output[dsl.Markdown]
) -> str:
    """Say by content what an evaluation of a student depends on.

    Args:
        key: content key of the evaluation of the recipe's own student, from prepare.
        student: any student.
        log: the log of its training.
        summary: what is judged, to read.

    Returns:
        A key that is another for another student, log, recipe or code.
    """
    import hashlib
    from pathlib import Path

    from components.shared.step import recorded
    from components.shared.summary import publish_summary
    from rats_train.errors import UserError
    from rats_train.files import sha256_tree

    with recorded("key_student"):
        if not (Path(student.path) / "model_index.json").is_file():
            raise UserError(f"{student.uri} is no student: name a folder that has a model_index.json.")
        if not (Path(log.path) / "metrics.jsonl").is_file():
            raise UserError(f"{log.uri} is no log of a training: name the folder that has its metrics.jsonl.")
        parts = [key, sha256_tree(student.path), sha256_tree(log.path)]
        publish_summary(f"# Student {parts[1][:12]}\n\nFrom {student.uri}, its log from {log.uri}.", summary.path)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
