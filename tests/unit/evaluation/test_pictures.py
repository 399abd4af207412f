import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from rats_train.evaluation.pictures import GridRow, data_uri, draw_grid, to_picture


def plain(colour):
    return torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 8, 8)


def test_pictures_are_enlarged_with_channels_in_order():
    picture = to_picture(plain([250, 10, 60]), 64)
    assert picture.size == (64, 64)
    assert picture.getpixel((32, 32)) == (250, 10, 60)


def test_a_wide_picture_keeps_its_shape():
    assert to_picture(torch.zeros(3, 8, 16, dtype=torch.uint8), 64).size == (64, 32)


def test_data_uri_holds_the_picture():
    uri = data_uri(to_picture(plain([250, 10, 60]), 32))
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    pixel = Image.open(BytesIO(base64.b64decode(data))).convert("RGB").getpixel((16, 16))
    assert np.abs(np.subtract(pixel, (250, 10, 60))).max() < 12


def test_grid_places_every_picture_and_writes_captions():
    red, blue = (to_picture(plain(colour), 40) for colour in ([255, 0, 0], [0, 0, 255]))
    sheet = np.asarray(draw_grid(["a", "b"], [GridRow("first", [red, blue]), GridRow("second", [blue, red])]))
    assert ((sheet == (255, 0, 0)).all(-1).sum(), (sheet == (0, 0, 255)).all(-1).sum()) == (3200, 3200)
    middle = sheet.shape[1] // 2
    assert (sheet[:, :middle] == (255, 0, 0)).all(-1).sum() == 1600
    assert (sheet < 128).all(-1).any(), "titles are written in ink"


def test_a_row_with_a_picture_missing_is_refused():
    with pytest.raises(ValueError, match="'short' has 1 pictures for 2 columns"):
        draw_grid(["a", "b"], [GridRow("short", [to_picture(plain([0, 0, 0]), 8)])])
