"""Which teacher step a student step is compared with: the one at the nearest noise level (RATS, horizon matching)."""

from torch import Tensor


def align_horizons(student: Tensor, teacher: Tensor) -> Tensor:
    """Index[K] of the teacher evaluation whose sigma is nearest to each student evaluation's.

    Args:
        student: sigmas[K + 1] of the student, the closing 0 included.
        teacher: sigmas[N + 1] of the teacher, the closing 0 included.

    Neither closing 0 is an evaluation: no x0 prediction is made there. Between two equally near, the noisier one.
    """
    # In double precision the difference of two float32 sigmas is exact, so ties are ties on every machine.
    distance = (student[:-1, None].double() - teacher[None, :-1].double()).abs()
    return distance.argmin(dim=1)
