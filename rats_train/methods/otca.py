"""Objective-aware trajectory credit assignment (OTCA, arXiv 2604.19234), on the policy gradient of `grpo`.

    L = mean_{i,k}( -min( r_ik A_ik, clip(r_ik, 1 ± clip_range) A_ik ) ),    A_ik = w_ik [sum_m c_im A_im]

Credit is spread twice. Over a chain's random steps k, in one of two ways: w_ik grows with how much nearer the step came
to the result of its chain (``likeness``, the paper's); or the A of the first half of the steps are of what the student
expects in the middle of the chain, those of the second half of its result, and w_k makes a step's noise teach as the
change of velocity that it was (``halves``, ours). Over the objectives m: each reward is compared within its group, and
c_im is the least-norm combination, so that what rewards agree on is learned and what they do not is left to a small
share of each (``exploration``); in brackets, the sum is compared within its group again. Either may be switched off;
with both off this is `grpo`.

Our reconstruction (docs/paper_index.md): no code of its authors is public. As in `grpo`, the reward that is recorded as
the student's is that of one more chain without random steps.
"""

from rats_train.config import Recipe
from rats_train.methods.grpo import Grpo
from rats_train.recipe_methods import OtcaMethod


class Otca(Grpo):
    """The method; it differs from `Grpo` in its advantages alone."""

    def __init__(self, recipe: Recipe, settings: OtcaMethod) -> None:
        super().__init__(recipe, settings, settings.credit)
