"""Agreement against published figures and scikit-learn, and over reviews in a database."""

from __future__ import annotations

import json
import random

import pytest
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from data_tools.review import app
from data_tools.review_agreement import agreement, cohen_kappa, krippendorff_alpha
from data_tools.review_import import ImportPlan
from data_tools.review_store import Stamp
from tests.unit.data_tools.review_cases import fresh_store, review_all, square

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C: four observers, twelve units, gaps.
OBSERVERS = ("1233214 12...", "1233224 125.3", ".333234 2251.", "1233244 1251.")


def test_alpha_of_the_published_example():
    rows = [row.replace(" ", "") for row in OBSERVERS]
    units = [[row[i] for row in rows if row[i] != "."] for i in range(len(rows[0]))]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_kappa_is_scikit_learns():
    rng = random.Random(0)
    for _ in range(50):
        one = [rng.choice("abcd") for _ in range(40)]
        two = [a if rng.random() < 0.6 else rng.choice("abcd") for a in one]
        assert cohen_kappa(one, two) == pytest.approx(cohen_kappa_score(one, two))


def test_undefined_and_extreme_cases():
    assert cohen_kappa([], []) is None
    assert cohen_kappa("aa", "aa") is None
    assert cohen_kappa("ab", "ab") == 1
    assert cohen_kappa("abab", "aabb") == 0
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha(["a", "b"]) is None
    assert krippendorff_alpha(["aa", "aa"]) is None
    assert krippendorff_alpha(["aa", "bb"]) == 1
    assert krippendorff_alpha(["ab", "ab"]) < 0


def test_agreement_over_a_database(tmp_path):
    with fresh_store(tmp_path, 4, ImportPlan(annotators=2)) as store:
        anna, ben = store.annotator("Anna"), store.annotator("Ben")
        for number in range(4):
            review_all(store, store.next_review(anna), anna)
            view = store.next_review(ben)
            said = "no_evidence" if number == 3 else "manipulated"
            view = review_all(store, view, ben, verdict=said, decision="reject" if number == 3 else "accept")
            if number == 2:
                store.reopen(view.id, ben, Stamp())
                store.set_mask(view.id, ben, square(25), Stamp())
                store.finish(view.id, ben, Stamp())
        found = agreement(store)
        assert (found.verdicts.units, found.decisions.units, found.verdicts.raters) == (4, 16, 2)
        assert found.verdicts.observed == 0.75
        assert found.kept.observed == 0.75
        assert found.verdicts.kappa == {"annotator 1|annotator 2": (0.0, 4)}
        # 8 ratings, 7 of one kind: 1 - 7 * 2 / (64 - 50)
        assert found.verdicts.alpha == pytest.approx(0.0)
        assert found.masks.pairs == 3
        assert found.masks.least == pytest.approx(450 / 1350)
        assert "Anna|Ben" in agreement(store, names=True).verdicts.kappa
        path = store.database.path
    printed = CliRunner().invoke(app, ["agreement", str(path), "--json"])
    assert json.loads(printed.output)["masks"]["pairs"] == 3
    for command in (["agreement", str(path)], ["stats", str(path)], ["list", str(path), "--outcome", "disputed"]):
        assert CliRunner().invoke(app, command).exit_code == 0
    assert CliRunner().invoke(app, ["stats", str(path) + "x"]).exit_code == 2
    assert CliRunner().invoke(app, ["list", str(path), "--outcome", "x"]).exit_code == 2
