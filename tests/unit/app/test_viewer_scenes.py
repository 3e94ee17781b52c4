"""What the viewer is given: outlines in source pixels, colours of the report, parts of the source without loss."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.investigate_page import mask_of_uri
from app.service import Service
from app.viewer.scenes import crop_of, regions_of, scene_of
from fakeexplain.errors import MeasurementError
from fakeexplain.examiner import Settings
from fakeexplain.report.overlay import marks_of
from tests.pictures import copy_move, encode, photograph


def pixels(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    rgb, mask = copy_move(photograph("astronaut"))
    with Service(
        Settings(expert=None, instruments=("copy_move", "metadata")), folder=tmp_path_factory.mktemp("p")
    ) as service:
        picture = service.submit_examination(encode(rgb), "forged.png").result(300)
        yield service, picture, rgb, mask


def test_a_scene_has_the_picture_without_loss_and_its_outlines(examined):
    service, picture, rgb, _ = examined
    scene = scene_of(service, picture.id)
    assert (scene["width"], scene["height"]) == (rgb.shape[1], rgb.shape[0])
    assert scene["lossless"]
    assert np.array_equal(pixels(scene["picture"])[..., :3], rgb)


def test_a_pair_is_two_regions_of_one_colour_the_second_dashed(examined):
    _, picture, _, _ = examined
    marks = marks_of(picture.examination)
    assert marks
    assert marks[0].partner_mask is not None
    first, second = [r for r in regions_of(picture) if r["evidence"] == marks[0].label]
    assert (first["label"], second["label"]) == (f"{marks[0].label}a", f"{marks[0].label}b")
    assert first["colour"] == second["colour"] == "#{:02x}{:02x}{:02x}".format(*marks[0].colour)
    assert (first["dashed"], second["dashed"]) == (False, True)
    assert first["shown"]
    xs = [x for polygon in first["polygons"] for x, _ in polygon]
    assert abs(min(xs) - first["box_xyxy"][0]) <= 1
    assert abs(max(xs) - first["box_xyxy"][2]) <= 1


def test_a_part_is_the_very_pixels(examined):
    service, picture, rgb, _ = examined
    part = crop_of(service, picture.id, [10, 20, 60, 9999])
    assert part["box"] == [10, 20, 60, rgb.shape[0]]
    assert np.array_equal(pixels(part["picture"]), rgb[20:, 10:60])


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], ["a", 0, 1, 1], [5, 5, 5, 9], [-9, -9, -1, -1], [0, 0, float("inf"), 2]]
)
def test_parts_that_are_none(examined, box):
    service, picture, _, _ = examined
    with pytest.raises(MeasurementError):
        crop_of(service, picture.id, box)


def painted(size: tuple[int, int], mode: str = "RGBA") -> str:
    image = Image.new(mode, size[::-1])
    if mode == "RGBA":
        image.paste((240, 166, 20, 255), (4, 3, 9, 7))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_a_brushed_mask_is_what_was_painted():
    mask = mask_of_uri(painted((20, 30)), (20, 30))
    assert mask.sum() == 5 * 4
    assert mask[3:7, 4:9].all()


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,???",
        painted((21, 30)),
        painted((20, 30), "L"),
        "x" * 5_000_000,
    ],
)
def test_brushed_masks_that_are_none(uri):
    with pytest.raises(MeasurementError):
        mask_of_uri(uri, (20, 30))
