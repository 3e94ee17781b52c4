"""Renamed dialogues say the same of other ids, figures and places."""

from __future__ import annotations

import re

import numpy as np

from training.renaming import Renaming

LINES = (
    "verdict: evidence; probability of a local alteration 36 %; false alarms at most 2 of 100; rests on E1, E12\n"
    "E1 noise R1 (upper left, 12 % of the image): level: 0.57, compared with 0.31\n"
    "E12 metadata: camera “Canon EOS 90D”, 4:2:0\nR3 <region> (1, 2, 30, 40), centre, 9 % of the image"
)
ANSWER = "In the upper left (12 % of the image) it is 0.57, not 0.31 [E1][E12]; R3 is in the centre; 36 %, 2 of 100."
_SAID = re.compile(r"[ER]\d+|\d+(?:\.\d+)? %|\d+ of 100|0\.\d+|\b(?:upper|middle|lower) \w+|centre")


def test_what_an_answer_copies_it_still_can():
    for seed in range(40):
        naming = Renaming(np.random.default_rng(seed))
        lines, answer = naming.text(LINES), naming.text(ANSWER)
        assert all(said in lines for said in _SAID.findall(answer)), (lines, answer)
        assert _SAID.sub("", lines) == _SAID.sub("", LINES)
        high, low = re.findall(r"0\.\d+", answer)
        assert float(high) >= float(low)
        assert "“Canon EOS 90D”, 4:2:0" in lines
        assert "(1, 2, 30, 40)" in lines


def test_pictures_differ_and_one_picture_does_not():
    named = [Renaming(np.random.default_rng(s)).text(LINES) for s in (0, 0, 1, 2)]
    assert named[0] == named[1]
    assert len(set(named)) == 3
    first = [re.search(r"probability of a local alteration (\d+) %", n).group(1) for n in named]
    assert len(set(first)) == 3


def test_ids_keep_their_order_and_stay_apart():
    naming = Renaming(np.random.default_rng(5))
    numbers = [int(naming.text(f"E{i}")[1:]) for i in range(1, 40)]
    assert numbers == sorted(set(numbers))
