from __future__ import annotations

import json

import numpy as np
import pytest

from app import comparing, handlers
from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import decode_mask
from tests.pictures import copy_move, encode, photograph


def test_an_original_shows_what_was_changed(service, examined):
    original = handlers.examine(service, encode(photograph("astronaut")), "original.png")
    found = comparing.compare(service, original.id, examined.id)
    assert found.answer == "changed"
    assert found.before.shape == found.after.shape == found.difference.shape == (512, 512, 3)
    forged, _ = copy_move(photograph("astronaut"))
    differs = (forged != photograph("astronaut")).any(axis=2)
    mask = decode_mask(found.places[0].mask)
    assert (mask & differs).sum() / (mask | differs).sum() > 0.8
    assert (found.original.name, found.questioned.name) == ("original.png", "forged.png")
    document = json.loads(next(f for f in found.files if f.name.endswith(".json")).data)
    assert document["questioned"]["source"]["sha256"] == examined.sha256
    assert len({f.sha256 for f in found.files}) == 3


def test_other_scenes_are_refused(service, examined):
    other = handlers.examine(service, encode(np.array(photograph("coffee"))), "other.png")
    with pytest.raises(MeasurementError, match="cannot be compared"):
        comparing.compare(service, other.id, examined.id)
