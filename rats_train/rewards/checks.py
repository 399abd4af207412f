"""What no reward lets in, and what none lets out: one clear line for each."""

from collections.abc import Collection, Sequence

from torch import Tensor

from rats_train.errors import UserError

# Half a shade of 8 bits more than the rounding of bfloat16 next to 1.
ROUNDING = 1 / 170
# Of a value next to the end of its range, in single precision.
SLACK = 1e-4


def check_inputs(name: str, images: Tensor, prompts: Sequence[str]) -> None:
    """Refuse what is not images[B, 3, H, W] of floats in [0, 1] with B prompts.

    Raises:
        UserError: says which reward got what.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or not images.shape[2:].numel():
        raise UserError(
            f"Reward {name} got {images.dtype} pictures of shape {list(images.shape)}: give floats [B, 3, H, W]."
        )
    if isinstance(prompts, str) or len(prompts) != len(images):
        got = "one string" if isinstance(prompts, str) else f"{len(prompts)} prompts"
        raise UserError(f"Reward {name} got {got} for {len(images)} pictures: give a list with one prompt a picture.")
    if len(images):
        _check_pixels(name, images, prompts)


def check_extras(
    name: str, inputs: Collection[str], latents: Tensor | None, metadata: Sequence[object] | None, count: int
) -> None:
    """Refuse to score without what the reward ``name`` reads beside pictures and prompts.

    Raises:
        UserError: it is missing, or is not of ``count`` pictures.
    """
    for what, given in (("latents", latents), ("metadata", metadata)):
        if what not in inputs:
            continue
        if given is None:
            raise UserError(
                f"Reward {name} reads {what}, and there are none where it was asked: latents are there while training, "
                "metadata where a prompt file holds them; name a reward that reads pictures and prompts alone."
            )
        if len(given) != count:
            raise UserError(f"Reward {name} got {what} of {len(given)} for {count} pictures: give one for each.")


def check_values(name: str, values: Tensor, prompts: Sequence[str], low: float, high: float) -> None:
    """Refuse raw ``values[B]`` that are not finite or not from ``low`` to ``high``.

    Raises:
        UserError: one is not; names the reward model and the prompt.
    """
    found = values.detach()
    fits = found.isfinite() & (found >= low - SLACK) & (found <= high + SLACK)
    if fits.all():
        return
    bad = int((~fits).nonzero()[0])
    said = f'Reward {name} is {found[bad].item():.6g} for the prompt "{prompts[bad]}"'
    if found[bad].isfinite():
        raise UserError(
            f"{said}, and its kind declares values from {low:g} to {high:g}: its checkpoint is broken, or of another "
            "kind."
        )
    raise UserError(
        f"{said}: its checkpoint or the image is broken; check the reward's weights, or lower training.learning_rate "
        "if this came up while training."
    )


def _check_pixels(name: str, images: Tensor, prompts: Sequence[str]) -> None:
    pixels = images.detach().flatten(1).float()
    off = (pixels - pixels.clamp(0, 1)).abs()
    # A comparison with NaN is false, so it must be the good ones that are compared.
    fits = (off <= ROUNDING).all(dim=1)
    if fits.all():
        return
    bad = int((~fits).nonzero()[0])
    if pixels[bad].isfinite().all():
        low, high = pixels[bad].aminmax()
        raise UserError(
            f'Reward {name} got a picture with pixels from {low:.3g} to {high:.3g} for the prompt "{prompts[bad]}": '
            "pixels must lie in [0, 1]; divide bytes by 255, or clamp what a decoder gives."
        )
    raise UserError(
        f'Reward {name} got a picture with a pixel that is no finite number for the prompt "{prompts[bad]}": what drew '
        "it is broken; check its weights, or lower training.learning_rate if this came up while training."
    )
