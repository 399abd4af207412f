"""How far the pictures of two arms lie apart as distributions: maximum mean discrepancy on a reward's image features.

Why not the Frechet distance: with as few pictures as an evaluation draws its bias is far larger than what it is to
measure, and depends on the model (Chong & Forsyth 2020). The unbiased estimate of the squared discrepancy has mean 0
for equal distributions at any number of pictures (Gretton et al. 2012, equation 4; as KID and CMMD use it), and so may
come out slightly negative. Its caveat is its spread: it is given with its standard error.
"""

import torch
from torch import Tensor

from rats_train.evaluation.discrepancy import Discrepancy


def squared_mmd(ours: Tensor, theirs: Tensor, per_prompt: int) -> Discrepancy:
    """Discrepancy of two sets of unit features ``[N, D]`` in which row ``i`` of both has one prompt and seed.

    Pictures of one prompt are related, also across the sets, so only pairs of different prompts are compared: over
    prompts the terms ``k(x, x') + k(y, y') - k(x, y') - k(y, x')`` then form a U-statistic, whose standard error is
    the jackknife's over prompts. The kernel is Gaussian, its width the median distance within ``theirs``.

    Raises:
        ValueError: the sets differ in size, or hold fewer than three prompts.
    """
    if ours.shape != theirs.shape or len(ours) < 3 * per_prompt:
        raise ValueError(f"need two sets of the same prompts, at least three: {list(ours.shape)}, {list(theirs.shape)}")
    width = _median_square(theirs)
    kernel = _kernel(ours, ours, width) + _kernel(theirs, theirs, width)
    kernel -= _kernel(ours, theirs, width) + _kernel(theirs, ours, width)
    prompts = len(ours) // per_prompt
    terms = kernel.unflatten(0, (prompts, per_prompt)).unflatten(2, (prompts, per_prompt)).mean(dim=(1, 3)).double()
    terms.fill_diagonal_(0)
    rows, total = terms.sum(dim=1), terms.sum()
    left_out = (total - 2 * rows) / ((prompts - 1) * (prompts - 2))
    error = ((prompts - 1) * left_out.var(correction=0)).sqrt()
    return Discrepancy(float(total / (prompts * (prompts - 1))), float(error))


def _kernel(x: Tensor, y: Tensor, width: Tensor) -> Tensor:
    return torch.exp(-_squares(x, y) / (2 * width))


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances ``[N, M]`` of unit vectors."""
    return 2 - 2 * (x.float() @ y.float().T).clamp(-1, 1)


def _median_square(features: Tensor) -> Tensor:
    squares = _squares(features, features)
    return squares[~torch.eye(len(features), dtype=torch.bool)].median().clamp(min=1e-6)
