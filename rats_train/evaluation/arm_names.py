"""What the arms of an evaluation are called, for those who read its results and draw nothing."""


def student_arm(steps: int) -> str:
    """Name of the student's arm at ``steps`` steps."""
    return f"student_{steps}"


def teacher_arm(steps: int) -> str:
    """Name of the guided teacher's arm at ``steps`` steps."""
    return f"teacher_{steps}"


def unguided_arm(steps: int) -> str:
    """Name of the teacher's arm without guidance: exactly as many evaluations as the student has."""
    return f"teacher_{steps}_unguided"
