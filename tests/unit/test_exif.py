"""The EXIF structure walk names what is broken, and hostile blocks never hurt."""

import struct

import numpy as np
import pytest

from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.provenance.exif import exif_faults
from tests.unit.metadata_files import ASTRONAUT, CAMERA, TAKEN, directory, exif_block, jpeg, long, text, with_exif


def test_gps_coordinates_are_rounded_and_signed():
    def angle(tag, *values):
        return (tag, 5, 3, struct.pack("<6I", *(n for v in values for n in (round(v * 1000), 1000))))

    gps = (text(1, "S"), angle(2, 33, 51, 24.5), text(3, "E"), angle(4, 151, 12, 54.0))
    details = with_exif(exif_block(CAMERA, TAKEN, gps))["camera_facts"].details
    assert details["gps_present"] is True
    assert details["gps_latitude"] == pytest.approx(-33.857)
    assert details["gps_longitude"] == pytest.approx(151.215)
    zero = (text(1, "N"), (2, 5, 3, bytes(24)))
    assert "gps_latitude" not in with_exif(exif_block(CAMERA, TAKEN, zero))["camera_facts"].details


def test_faults_of_the_exif_structure_are_named():
    sound = exif_block(CAMERA, TAKEN, (text(1, "N"),), jpeg(ASTRONAUT[:40, :40]))
    assert exif_faults(sound) == []
    assert "header" in exif_faults(b"nonsense")[0]
    looping = b"II*\x00\x08\x00\x00\x00" + directory([long(0x8769, 8)], 8)
    assert exif_faults(looping) == ["a directory refers back to one already read"]
    endless = b"II*\x00\x08\x00\x00\x00" + directory([text(0x010F, "abcdefgh")], 8, following=8)
    assert "refers back" in exif_faults(endless)[0]
    assert "outside" in exif_faults(sound[:60])[0]
    greedy = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 900)
    greedy += b"".join(struct.pack("<HHII", 0x1000 + k, 7, 9000, 100) for k in range(900)) + bytes(4)
    assert "claim more" in exif_faults(greedy)[-1]


@pytest.mark.parametrize("case", ["header", "loop", "truncated", "greedy", "unknown type"])
def test_broken_exif_is_a_fact_and_never_raises(case):
    sound = exif_block(CAMERA, TAKEN)
    block = {
        "header": b"\x00" * 40,
        "loop": b"II*\x00\x08\x00\x00\x00" + directory([long(0x8769, 8), long(0x8825, 8)], 8, following=8),
        "truncated": sound[:-30],
        "greedy": b"MM\x00*\x00\x00\x00\x08" + b"\xff\xff" + bytes(range(256)) * 20,
        "unknown type": b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHII", 1, 0x010F, 99, 5, 0) + bytes(4),
    }[case]
    broken = with_exif(block)["broken_metadata"]
    assert broken.quantity == "EXIF block is broken"
    assert broken.value


def test_random_damage_to_metadata_never_raises():
    rng = np.random.default_rng(5)
    sound = bytearray(
        exif_block((*CAMERA, text(0x0131, "GIMP 2.10")), TAKEN, (text(1, "N"),), jpeg(ASTRONAUT[:64, :64]))
    )
    small = ASTRONAUT[:64, :64]
    for _ in range(60):
        damaged = sound.copy()
        for place in rng.integers(0, 250, size=6):
            damaged[place] = rng.integers(256)
        records = Metadata().examine(SourceImage.from_bytes(jpeg(small, exif=b"Exif\x00\x00" + bytes(damaged))))
        assert 1 <= len(records) <= 15
