"""Tables and the page from rows made by hand: means, strata, false alarms, the expert as a witness, escaping."""

import json

import numpy as np
import pytest
from markupsafe import Markup

from fakeexplain.evaluation import curves, tables
from fakeexplain.evaluation.alarm_tables import broken_down, marked_table, share_of
from fakeexplain.evaluation.charts import Axis, Series, chart, standalone, unit_axis
from fakeexplain.evaluation.failures import Gallery, galleries, largest_alarms, worst_forged
from fakeexplain.evaluation.forged_tables import forged_table, oracle_table, predictor_table, ranking_table
from fakeexplain.evaluation.image_tables import calibration_tables, image_ranking_table, verdict_table
from fakeexplain.evaluation.page import Facts, render_page
from fakeexplain.evaluation.rows import Row, image_score, main_predictors, row_from_json, row_to_json
from fakeexplain.evaluation.table import Table, counted_rate
from fakeexplain.verdict import Panel


def forged(dataset, f1, *, label="manipulated", area=0.1, statistic=-5.0, **extra):
    figures = {"suite": f1, "noise": f1 / 2, "noise map": 0.1, "all_ones": 0.2, "random": 0.1, "centre": 0.15}
    return Row(
        dataset,
        extra.pop("image", f"{f1}.png"),
        "x",
        True,
        extra.pop("strata", {}),
        label=label,
        probability=0.9 if label == "manipulated" else 0.4,
        statistics=extra.pop("statistics", {"noise": statistic}),
        true_area=area,
        f1=figures | extra.pop("more_f1", {}),
        iou={"suite": f1 / (2 - f1)},
        pixel_auc={"noise map": 0.8, "suite map": 0.8},
        pixel_ap={"noise map": 0.3, "suite map": 0.3},
        marked=dict.fromkeys(("suite", "noise", "noise map", "suite map"), 0.1),
        largest=dict.fromkeys(("suite", "noise", "noise map", "suite map"), 0.1),
        peak={"noise map": 0.9, "suite map": 0.9},
        **extra,
    )


def authentic(marked=0.0, *, label="no_evidence", largest=None, statistic=0.5, **extra):
    names = extra.pop("names", ("suite", "noise", "noise map", "suite map"))
    return Row(
        "photos",
        extra.pop("image", "p.png"),
        extra.pop("group", "a"),
        False,
        {},
        megapixels=0.5,
        band="jpeg_high",
        label=label,
        probability=0.4,
        statistics=extra.pop("statistics", {"noise": statistic}),
        marked=dict.fromkeys(names, marked),
        largest=dict.fromkeys(names, marked if largest is None else largest),
        peak={"noise map": 0.2, "suite map": 0.2},
        **extra,
    )


def cells(table, first):
    return dict(zip(table.columns[1:], next(r for r in table.rows if r[0] == first)[1:], strict=True))


def test_both_means_and_the_exclusion():
    rows = [forged("a", 0.9)] + [forged("b", 0.3)] * 3 + [forged("odd", 0.0)] * 6
    table = predictor_table(rows, ["odd"])
    line = cells(table, "suite")
    assert line["F1 over sets"].startswith("0.400 ")
    assert line["F1 over pictures"].startswith("0.180 ")
    assert line["F1 over sets without odd"].startswith("0.600 ")
    assert line["F1 over pictures without odd"].startswith("0.450 ")
    assert cells(table, "all_ones")["F1 over sets"].startswith("0.200 ")
    first = forged_table(rows, ["odd"])
    assert cells(first, "mean over sets")["F1"] == "0.400"
    assert cells(first, "mean over sets, without odd")["F1"] == "0.600"
    assert cells(first, "odd (*)")["n"] == "6"


def test_oracles_say_so():
    row = forged("a", 0.2, permuted_f1={"suite": 0.8}, best_f1={"noise map": 0.7})
    table = oracle_table([row])
    assert all("oracle" in c for c in table.columns[1:])
    assert "uses the truth" in table.note
    assert cells(table, "noise map")["best-threshold F1 (oracle)"] == "0.700"
    assert not any("permuted" in c for c in predictor_table([row]).columns)


def test_unexamined_forged_pictures_count_as_constant_maps_and_undetected():
    rows = [forged("a", 1.0)]
    rows.append(Row("a", "broken", "x", True, {}, label="error", true_area=0.5, error="broken", f1={"suite": 0.0}))
    line = cells(ranking_table(rows), "noise map")
    assert line["AP over pictures"].startswith("0.400 ")  # (0.3 + the forged share) / 2
    assert line["AUC over pictures"].startswith("0.650 ")
    assert cells(forged_table(rows), "a")["detected"].startswith("50 %")


def test_marked_regions_on_authentic_photographs():
    rows = [authentic(0.0)] * 7 + [authentic(0.004), authentic(0.02, largest=0.004), authentic(0.3)]
    line = cells(marked_table(rows), "suite")
    assert line["n"] == "10"
    assert line["anything marked"].startswith("30.0 %")
    assert line["a region of 0.5 % or more"].startswith("10.0 %"), "crumbs are no region"
    areas = [0.0] * 7 + [0.004, 0.02, 0.3]
    assert line["mean area"] == f"{100 * np.mean(areas):.2f} %"
    assert line["median"] == "0.00 %"
    assert line["p95"] == f"{100 * np.percentile(areas, 95):.2f} %"
    assert line["max"] == "30.00 %"


def test_verdicts_and_ranking_by_hand():
    rows = [forged("a", 0.9)] * 3 + [forged("b", 0.0, label="inconclusive", statistic=-0.2)]
    rows += [authentic()] * 15 + [authentic(0.1, label="manipulated", statistic=-9.0)]
    line = cells(verdict_table(rows), "all forged")
    assert (line["detected"], line["false alarms"]) == ("3 / 4", "1 / 16")
    assert float(line["balanced accuracy"]) == pytest.approx((0.75 + 15 / 16) / 2, abs=1e-3)
    assert float(line["F1"]) == pytest.approx(6 / 8)
    ranking = cells(image_ranking_table(rows), "strongest witness")
    assert ranking["AUC"].startswith(f"{15 / 16:.3f} ")
    assert ranking["TPR at 5 % FPR"].startswith("0 %"), "16 negatives: not one false positive is allowed"
    ece = float(cells(calibration_tables(rows)[0], "at the stated prior of 0.5")["calibration error (ECE)"])
    # Stated 0.9 for 3 of 4 forged; stated 0.4 for the other and for all 16 authentic ones; each class weighs one half.
    weight, predicted = 0.375, 0.9
    assert ece == pytest.approx(weight * abs(1 - predicted) + 0.625 * abs(0.125 / 0.625 - 0.4), abs=1e-3)


def test_strata_of_area_and_recipe():
    rows = [forged("a", 0.1, area=0.005), forged("a", 0.9, area=0.05), forged("a", 0.5, area=0.1999)]
    rows.append(forged("a", 0.4, area=1.0))
    table = tables.area_table(rows)
    assert [r[:2] for r in table.rows] == [("under 1 %", "1"), ("5 to 20 %", "2"), ("20 % and more", "1")]
    assert cells(table, "5 to 20 %")["F1 suite"] == "0.700"
    recipes = [{"operation": o, "finish": "jpeg", "format": f} for o, f in (("splice", "JPEG"), ("blur", "PNG"))]
    rows = [forged("a", 0.2, recipe=recipes[0]), forged("a", 0.6, recipe=recipes[1]), forged("b", 0.1)]
    made = {t.columns[0]: t for t in tables.recipe_tables(rows)}
    assert set(made) == {"operation", "finish", "format"}
    assert cells(made["operation"], "blur")["F1 suite"] == "0.600"
    assert cells(made["format"], "JPEG")["n"] == "1"
    assert tables.recipe_tables([forged("a", 0.2, recipe=recipes[0])] * 2) == [], "one value breaks nothing down"
    clean = [authentic(0.1, recipe=recipes[0]), authentic(recipe=recipes[1])]
    line = cells(tables.authentic_recipe_table(clean), "format: JPEG")
    assert line["suite: a region of 0.5 % or more"].startswith("100.0 %")


def test_many_values_are_joined():
    rows = [authentic(group=f"g{i}") for i in range(50)] + [authentic(group="common")] * 5
    parts = broken_down(rows, lambda r: r.group)
    assert len(parts) == 31
    assert parts[-1][0] == "others (21 values)"
    assert sum(len(p) for _, p in parts) == 55


def test_planted_sets_keep_their_cross_table():
    strata = {"kind": "noise_added", "instrument": "noise", "size": "64", "quality": "PNG"}
    rows = [forged("a", 0.8, strata=strata), forged("a", 0.4, strata=strata, statistic=-1.0, label="no_evidence")]
    table = tables.planted_table(rows)
    line = table.rows[0]
    assert line[4:] == ("2", counted_rate([True, False]), "50 %", "0.60", "0.30")


def expert_rows():
    names = ("suite", "noise", "expert", "noise map", "expert map", "suite map")
    both = {"noise": None, "expert": -2.5}
    return [
        forged("a", 0.5, statistics=both, more_f1={"expert": 0.4, "expert map": 0.7}),
        authentic(0.02, names=names, statistics={"noise": -2.4, "expert": -1.0}),
        authentic(0.0, names=names, statistics={"noise": 0.0, "expert": -2.35}, label="manipulated"),
    ]


def test_the_expert_is_one_more_witness():
    rows = expert_rows()
    assert main_predictors(rows) == ["suite", "expert", "expert map", "suite map"]
    assert "suite map" not in main_predictors([forged("a", 0.5)]), "without an expert it is not meant to be cut at 0.5"
    # The verdict's own score: -2.5 of the expert, whose share is half, against -2.4 of one instrument with the other.
    assert [round(image_score(r), 3) for r in rows[:2]] == [round(2.5 - np.log10(2), 3), round(2.4 - np.log10(2), 3)]
    panel = Panel(0.01, ("noise",), "expert")
    for witness in panel.witnesses():
        assert np.log10(share_of(witness, 0.01, ["noise", "expert"])) == pytest.approx(panel.threshold_log10(witness))
    alarms = tables.false_alarm_tables(rows, promise=0.02)[0]
    assert cells(alarms, "expert, its share: p < 0.005")["alarms"] == "1 / 2"
    assert cells(alarms, "noise, its share: NFA < 0.005")["alarms"] == "1 / 2"
    assert cells(alarms, "suite at 0.01")["alarms"] == "2 / 2"
    assert cells(alarms, "verdict `manipulated`, as examined")["promise"] == "2 %"
    assert cells(marked_table(rows), "expert map")["a region of 0.5 % or more"].startswith("50.0 %")
    assert cells(predictor_table(rows), "expert map")["F1 over pictures"].startswith("0.700")


def test_robustness_cells_stay_apart_from_the_plain_figures():
    rows = [forged("a", 0.8), authentic()]
    rows += [forged("a", 0.1, cell="jpeg 50"), authentic(0.2, cell="jpeg 50", label="manipulated")]
    made = {t.title: t for t in tables.all_tables(rows)}
    assert cells(made["Forged pictures"], "a")["n"] == "1"
    table = made["Robustness"]
    assert [r[0] for r in table.rows] == ["as received", "jpeg 50"]
    assert cells(table, "jpeg 50")["F1 suite"] == "0.100"
    assert cells(table, "jpeg 50")["false alarms"].startswith("100 %")
    assert cells(table, "as received")["suite: a region of 0.5 % or more"].startswith("0 %")
    assert tables.robustness_table(rows[:2]) is None
    assert len(curves.robustness_figures(rows)) == 2


def test_tables_are_text_json_and_terminal_alike():
    table = Table("T | [bold]", ("a|b", "c"), (("x|y", "[red]z"),), "note")
    assert "x\\|y" in table.to_markdown()
    assert json.loads(json.dumps(table.to_dict()))["rows"] == [["x|y", "[red]z"]]
    from rich.console import Console

    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table.to_rich())
    assert "[red]z" in console.export_text(), "names out of files are no markup"


def test_old_rows_are_still_read():
    line = json.dumps(
        {"dataset": "d", "image": "i", "group": "g", "forged": False, "strata": {}, "label": "no_evidence"}
    )
    assert tables.all_tables([row_from_json(line)])
    row = expert_rows()[0]
    assert row_from_json(row_to_json(row)) == row


def test_failures_are_the_worst_first():
    rows = [forged("a", 0.0, area=0.1, image="small"), forged("a", 0.0, area=0.4, image="large")]
    rows += [forged("a", 0.3, image="weak"), forged("a", 0.9, image="good"), forged("a", 0.0, cell="blur 1")]
    rows.append(Row("a", "broken", "x", True, {}, label="error", error="broken", f1={"suite": 0.0}))
    assert [f.row.image for f in worst_forged(rows, "suite")] == ["large", "small", "weak"]
    assert [f.row.image for f in worst_forged(rows, "suite", 1)] == ["large"]
    rows = [authentic(0.1, image="b"), authentic(0.0, image="none"), authentic(0.4, image="a")]
    assert [f.row.image for f in largest_alarms(rows, "suite")] == ["a", "b"]


def test_every_main_predictor_has_its_galleries():
    shown = galleries([*expert_rows(), forged("a", 0.0, cell="blur 1")])
    assert [g.title for g in shown][:4] == [
        "Forged, the verdict's mask",
        "False alarms, the verdict's mask",
        "Forged, expert",
        "False alarms, expert",
    ]
    assert [len(g.failures) for g in shown][:6] == [1, 1, 1, 1, 0, 1]
    assert "1 largest of 1" in shown[1].note
    assert galleries([authentic()])[0].note == "Nothing is marked on any of them."


def test_the_page_is_self_contained_and_escaped():
    evil = "<script>alert(1)</script>\x1b[31m"
    rows = [forged(evil, 0.2, image=evil), forged("b", 0.8), authentic(0.1), authentic()]
    rows += [forged("b", 0.1, cell="jpeg 50"), authentic(cell="jpeg 50")]
    worst = worst_forged(rows, "suite")
    pictures = {worst[0].row.key: {"suite": [b"1", b"2", b"3"]}}
    facts = Facts({"a": evil}, {"b": "1"}, (evil,), "2026-01-01T00:00:00+00:00")
    page = render_page(rows, tables.all_tables(rows, [evil]), facts, [Gallery("Forged", evil, tuple(worst))], pictures)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    for outside in ("http:", "https:", 'src="/', "url(", "@import", 'style="', "javascript"):
        assert outside not in page, outside
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("<svg") == 6
    for title in (
        "ROC",
        "Precision and recall",
        "Reliability",
        "F1 by forged area",
        "Robustness: what is wrongly marked",
    ):
        assert title in page
    assert "default-src 'none'" in page


def test_the_page_copes_with_one_class_and_with_maps_alone():
    for rows in ([forged("a", 0.5)], [authentic()], [Row("a", "i", "g", True, {}, f1={"tool": 0.5, "all_ones": 0.2})]):
        page = render_page(rows, tables.all_tables(rows), Facts({}, {}), [], {})
        assert "nan" not in page.lower().replace("finance", "")
    assert '<th scope="row">tool</th><td>0.500 <small>' in page


def test_charts_place_points_where_they_are():
    series = Series("a", [0.0, 1.0, 0.5], [0.0, 1.0, None], 1, markers=True, whiskers=[(0.0, 0.2), None, None])
    svg = chart("<d>", unit_axis("x"), Axis("y", 0.0, 1.0, ((0.0, "<0>"),)), [series], width=468)
    assert isinstance(svg, Markup)
    assert 'points="64.0,310.0 454.0,10.0"' in svg
    assert "&lt;0&gt;" in svg
    assert "<0>" not in svg
    assert svg.count("<polygon") == 3, "two points and the legend; a missing value is not drawn"
    assert 'y1="310.0" y2="250.0"' in svg
    other = chart("d", unit_axis("x"), unit_axis("y"), [Series("a", [0, 1], [0, 1], 8)])
    assert 'class="curve s1"' in other, "tones come round, but never to that of the first"
    assert standalone(svg).startswith('<svg xmlns="http://www.w3.org/2000/svg" class="chart"')
    import xml.etree.ElementTree as ElementTree

    ElementTree.fromstring(standalone(svg))
