"""What may be said of map and picture: from drawn views with known answers, and through a conversation."""

from __future__ import annotations

import numpy as np
import pytest

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.colours import PLAIN, plain_colours
from fakeexplain.reasoning.sights import (
    ABSENT,
    CAUTION,
    LOST,
    NOTHING,
    MapSight,
    PictureSight,
    Sights,
    map_sight,
)
from fakeexplain.records import Evidence
from tests.pictures import photograph


def view(*boxes: tuple[int, int, int, int], value: float = 1.0) -> np.ndarray:
    """64x64 with boxes xyxy."""
    mean = np.zeros((64, 64), np.float32)
    for x0, y0, x1, y1 in boxes:
        mean[y0:y1, x0:x1] = value
    return mean


def record(score_map: np.ndarray | None, kind: str = "detection") -> Evidence:
    return Evidence(
        id="E4",
        instrument="expert",
        instrument_version="1",
        kind=kind,
        trace="t",
        quantity="q",
        score_map=score_map,
        reason="none",
    )


@pytest.mark.parametrize(
    ("mean", "peak", "words"),
    [
        (view((4, 4, 12, 12)), 1.0, ("map", "one", "strong", "upper", "left", "small", "compact", "inside")),
        (
            view((0, 50, 60, 56), value=0.7),
            0.7,
            ("map", "one", "clear", "lower", "centre", "medium", "elongated", "outside"),
        ),
        (view((50, 28, 60, 38), (2, 2, 8, 8), value=0.3), 0.3, ("map", "two", "little", "middle", "right", "small")),
        (view((2, 2, 8, 8), (20, 20, 26, 26), (50, 50, 56, 56)), 1.0, ("map", "several", "strong")),
        (view((2, 2, 30, 30), (40, 40, 42, 42)), 1.0, ("map", "one", "strong")),  # a speck beside it is no part
        (view(value=0.0), 0.05, ("map", "nothing")),
    ],
)
def test_words_of_drawn_maps(mean, peak, words):
    assert MapSight.of(mean, peak).words()[: len(words)] == words


def test_sentences_tell_the_facts_and_a_fact_near_a_limit_has_two_answers():
    told = MapSight.of(view((4, 4, 12, 12)), 0.96)
    said = {s for forms in told.sentences().values() for s in forms}
    assert "The expert's map marks one part strongly" in said
    assert "The largest part of what it marks lies in the upper left" in said
    assert "This part is small and compact, and does not touch the border" in said
    assert not any("faintly" in s or "two parts" in s or "right" in s for s in said)
    near = MapSight.of(view((4, 4, 12, 12)), 0.88)
    assert near.strengths == ("clearly", "strongly")
    assert all("clearly" in s for s in near.told()["marks"])
    assert MapSight().sentences()["nothing"][0] == NOTHING


def test_colours_of_cells_and_what_is_said_of_them():
    rgb = np.zeros((80, 120, 3), np.uint8)
    rgb[:40] = (60, 90, 220)
    rgb[40:] = (90, 60, 30)
    sight = PictureSight.of(rgb)
    assert sight.cells == ("blue",) * 8 + ("brown",) * 8
    said = sight.sentences()
    assert set(said["much"]) >= {"Much of the picture is blue", "Brown covers much of the picture"}
    assert said["halves"] == ("Its upper half is mostly blue, its lower half mostly brown",)
    assert PictureSight.of(rgb[:40]).told()["halves"] == ("Both its upper and its lower half are mostly blue",)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        *[((220, 200, 170), "beige"), ((0, 0, 0), "black"), ((250, 250, 250), "white"), ((20, 160, 40), "green")],
        *[((130, 130, 128), "grey"), ((240, 220, 20), "yellow"), ((90, 60, 30), "brown"), ((200, 20, 20), "red")],
    ],
)
def test_plain_names(rgb, name):
    assert PLAIN[int(plain_colours(np.array([[rgb]], np.uint8))[0, 0])] == name


def test_what_holds_is_what_the_map_shows_and_cites_the_record_that_carries_it():
    large = np.kron(view((4, 4, 12, 12)), np.ones((8, 8), np.float32))
    sights = Sights(None, [record(large)])
    assert sights.hold("The expert's map marks one part strongly [E4].")
    for wrong in (
        "The expert's map marks one part strongly.",
        "The expert's map marks one part strongly [E3].",
        "The expert's map marks one part faintly [E4].",
        "The largest part of what it marks lies in the upper right [E4].",
        f"{ABSENT}.",
        f"{LOST}.",
    ):
        assert not sights.hold(wrong)
    assert sights.of_map()[-1] == CAUTION
    assert all(sights.hold(s) for s in sights.of_map()[:-1])
    assert sights.missing(" ".join(sights.of_map()), picture=False) == []
    assert sights.missing(sights.of_map()[0], picture=False) == sights.of_map()[1:]


def test_a_mark_smaller_than_a_cell_is_told_as_such():
    values = np.full((2000, 2000), 0.02, np.float32)
    values[40:44, 60:64] = 0.97
    assert map_sight(values).words() == ("map", "one", "strong", "upper", "left", "tiny", "compact", "inside")
    thin = np.zeros((50, 4000), np.float32)
    thin[20:26, 1000:1024] = 0.97
    assert map_sight(thin).strengths[0] == "strongly"
    specks = view(*[(x, x, x + 1, x + 1) for x in (5, 15, 25, 35, 45)])
    assert map_sight(specks).counts == (3,)
    assert map_sight(np.full((100, 100), np.nan, np.float32)) == MapSight()


def test_mostly_is_said_of_a_colour_that_holds_most():
    stripes = np.zeros((96, 96, 3), np.uint8)
    for number, rgb in enumerate([(20, 160, 40), (200, 20, 20), (240, 220, 20), (60, 90, 220)]):
        stripes[:, number::4] = rgb
    said = PictureSight.of(stripes).sentences()
    assert "halves" not in said
    assert set(said["much"]) >= {"Much of the picture is green", "Much of the picture is red"}
    stripes[48:, ::2] = (200, 20, 20)
    assert "halves" not in PictureSight.of(stripes).sentences()
    stripes[:48, ::2] = (20, 160, 40)
    assert PictureSight.of(stripes).told()["halves"] == ("Its upper half is mostly green, its lower half mostly red",)


def test_a_map_that_was_let_go_of_is_told_from_what_stood_out_on_it():
    large = np.kron(view((4, 4, 12, 12)), np.ones((8, 8), np.float32))
    whole = Sights(None, [record(large)])
    bare = Sights(None, [record(None)], whole.map)
    assert bare.of_map() == whole.of_map()
    assert bare.hold("The expert's map marks one part strongly [E4].")
    assert Sights(None, [record(None, kind="abstention")]).of_map() == [f"{ABSENT}."]


@pytest.mark.parametrize(("records", "said"), [([], ABSENT), ([record(None)], LOST)])
def test_no_map_is_told_as_such(records, said):
    sights = Sights(None, records)
    assert sights.of_map() == [f"{said}."]
    assert sights.hold(f"{said}.")
    assert not sights.hold(f"{NOTHING}.")
    assert sights.missing("", picture=False) == [f"{said}."]
    assert sights.missing(f"{said}.", picture=False) == []


def test_a_conversation_tells_map_and_picture_and_keeps_the_verdict():
    talk = Conversation(Examiner(Settings(expert=None)), encoded(photograph("coffee")))
    label = talk.examination.verdict.label
    answer = talk.ask("What does the heat map show?")
    assert answer.text == f"{ABSENT}."
    answer = talk.ask("Describe the picture.")
    assert "Much of the picture is brown." in answer.text
    assert all(s.finding != "unsupported" for s in answer.sentences)
    assert talk.examination.verdict.label == label
    for told in talk.sights.of_picture():
        assert told in answer.text


def encoded(rgb: np.ndarray) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()
