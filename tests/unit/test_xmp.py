"""XMP packets: history and creator are read, hostile packets are refused and reported."""

import pytest

from fakeexplain.provenance.xmp import parse_xmp
from tests.unit.metadata_files import XMP, examine, xmp_jpeg


def test_xmp_history_and_creator():
    found = examine(xmp_jpeg(XMP % b""))
    assert found["edit_history"].value == 2
    assert found["edit_history"].details["actions"] == ["converted", "saved"]
    assert found["editor_software"].value == "Adobe Photoshop CC 2019"


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b"<x><y></x>",
        b"<a>" * 5000,
        b"\xff\xfe\x00garbage",
    ],
    ids=["entities", "external", "unbalanced", "deep", "garbage"],
)
def test_hostile_xmp_is_refused_and_reported(packet):
    with pytest.raises(ValueError, match=r"."):
        parse_xmp(packet)
    broken = examine(xmp_jpeg(packet))["broken_metadata"]
    assert "XMP" in broken.quantity
    assert "root:" not in broken.model_dump_json()
