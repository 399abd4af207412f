"""What rewards that know the embedded world's scenes ask of pictures."""

from torch import Tensor

from rats_train.errors import UserError
from rats_train.world.renderer import SCENE_SIZE


def check_scene_size(name: str, images: Tensor) -> None:
    """Refuse images[B, 3, H, W] that are not of the size of a scene.

    Raises:
        UserError: they are not.
    """
    height, width = images.shape[-2:]
    if (height, width) != (SCENE_SIZE, SCENE_SIZE):
        raise UserError(
            f"Reward {name} knows the rules of {SCENE_SIZE} x {SCENE_SIZE} scenes, not of {height} x {width} pictures: "
            "name a reward of another kind."
        )
