"""Every string of the deterministic answer, so that a translation replaces this file and nothing else.

Templates are filled with `str.format` once; what is filled in may come out of a hostile file and is cleaned by
`wording` before. Left out: logic of any kind.
"""

from __future__ import annotations

from typing import NamedTuple


class TraceWords(NamedTuple):
    """Words for one kind of trace.

    Attributes:
        title: heading.
        meaning: one sentence for a lay reader: what this trace is and how an alteration would leave it.
        measured: sentence for the figure where it reads better than the general one, "" otherwise.
    """

    title: str
    meaning: str
    measured: str = ""


LABELS = {
    "manipulated": "Evidence of local alteration",
    "no_evidence": "No evidence found",
    "inconclusive": "Inconclusive",
}

TEXT = {
    "conclusion_manipulated": "The examination found evidence that a part of this picture was altered.",
    "conclusion_no_evidence": "No evidence found, which does not show that the picture is unaltered.",
    "conclusion_inconclusive": "The examination is inconclusive: it gives no answer in either direction.",
    "one_place": "{findings} overlap and point to one place, {place}.",
    "expect_altered": "These findings are {degree} more probable if a part was altered locally than if it was not.",
    "expect_unaltered": (
        "This result is {degree} more probable if no part was altered locally than if one was; "
        "it leaves room for an alteration that leaves no trace tested here."
    ),
    "expect_equal": "This result is about as probable if a part was altered locally as if it was not.",
    "probability": "The probability that a part of the picture was altered locally is put at {percent}.",
    "promise": (
        "The threshold was set so that at most {rate} unaltered photographs "
        "are expected to be called altered by mistake."
    ),
    "over_999": "over 99.9 %",
    "under_001": "under 0.1 %",
    "found": "{place}, {quantity}: {figure}.",
    "found_pair": "{place}, the picture repeats what it shows {partner}; {quantity}: {figure}.",
    "order_unknown": "Which of the two is the copy cannot be told from the measurement.",
    "order": (
        "The trained network marks {copy} and does not mark {source}, so {copy_name} is taken for the copy and "
        "{source_name} for its source; where it told two such areas apart in test forgeries, it was right for {right} "
        "of {told}."
    ),
    "kind_of_edit": (
        "The network's guess at the kind of edit is {operation}; of its guesses of this kind on test forgeries with an "
        "alarm {share} were right."
    ),
    "measurement": (
        "{place}, {quantity}: {figure}; "
        "this region was chosen, not found, so the figure does not count for the verdict."
    ),
    "region_stands_out": (
        "Tested by itself, {region} stands out to the trained network: no more than {rate} places of this size in the "
        "unaltered photographs used for its calibration are marked as strongly."
    ),
    "region_ordinary": (
        "Tested by itself, {region} does not stand out to the trained network: up to {rate} places of this size in the "
        "unaltered photographs used for its calibration are marked as strongly."
    ),
    "region_common": (
        "Tested by itself, {region} does not stand out to the trained network: most places of this size in the "
        "unaltered photographs used for its calibration are marked as strongly."
    ),
    "alternatives": "This could also come from {causes}.",
    "difference": "A difference could also come from {causes}.",
    "quiet": "{instrument} examined the picture and found nothing beyond chance.",
    "abstained": "{instrument} gave no result; {reason}.",
    "fact": "{quantity}: {value}{compared}",
    "fact_without_value": "{quantity}{compared}",
    "fact_alternatives": "{fact}; this could also come from {causes}",
    "compared": ", compared with {reference}",
    "chance": (
        "by the instrument's model, a result like this is expected by chance in fewer than {rate} unaltered pictures"
    ),
    "chance_floor": (
        "by the instrument's model, a result like this is expected by chance in fewer than {rate} unaltered pictures "
        "(the model gives a still smaller figure, which could not be checked by counting)"
    ),
    "chance_p": "no more than {rate} unaltered pictures used for its calibration gave a result like this",
    "chance_common": "results like this are common in unaltered pictures",
    "band": "Quality of the file for this examination: {band}.",
    "limit": "This limits the examination: {reason}.",
    "unexaminable": "This makes an examination impossible: {reason}.",
    "no_limits": "Nothing in the quality of the file limits the examination beyond what is listed as not tested.",
    "not_tested": "Not tested: {what}.",
    "instrument": "{what} ({name})",
    "instrument_unknown": "the instrument {name}",
    "whole_image": "in the whole picture",
    "in_the": "in the {place}",
    "no_figure": "no figure",
    "yes": "yes",
    "no": "no",
    "or": "; or ",
    "and": " and ",
}

# Likelihood ratio below which the words hold; ENFSI Guideline for Evaluative Reporting (2015), words adapted.
EXPECTATIONS: tuple[tuple[float, str], ...] = (
    (2, ""),
    (10, "somewhat"),
    (100, "clearly"),
    (1_000, "much"),
    (10_000, "very much"),
    (float("inf"), "overwhelmingly"),
)

# instrument -> (title, what it is, as the subject of a sentence)
INSTRUMENTS = {
    "jpeg_grid": ("JPEG grid", "the check of the JPEG block grid"),
    "double_jpeg": ("Double JPEG saving", "the check for parts that were saved once less than the rest"),
    "noise": ("Noise level", "the comparison of the noise of different parts"),
    "copy_move": ("Duplicated areas", "the search for areas that repeat each other"),
    "metadata": ("File and metadata", "the reading of what the file says about itself"),
    "region_contrast": ("Region contrast", "the comparison of a chosen region with its surroundings"),
    "expert": ("Trained network", "the network trained on altered pictures"),
}

TRACES = {
    "foreign_grid": TraceWords(
        "JPEG blocks out of step with the rest",
        "JPEG files are saved in blocks of 8 by 8 pixels; a part taken from another JPEG can keep its own "
        "blocks, which then do not line up with those of the rest.",
    ),
    "missing_grid": TraceWords(
        "JPEG blocks missing where the rest has them",
        "The rest of the picture shows the blocks of 8 by 8 pixels that JPEG saving leaves; a part that was pasted, "
        "painted or resized after that save does not.",
    ),
    "missing_double_quantisation": TraceWords(
        "Saved once where the rest was saved twice",
        "The rest of the picture shows traces of an earlier JPEG save; a part that was added after that save does not "
        "have them.",
    ),
    "noise_low": TraceWords(
        "Less noise than its surroundings",
        "Noise is the fine random grain that every camera leaves; a part that was retouched, blurred or taken "
        "from another picture can have less of it.",
        "{place}, the picture has noise of {value} inside against {reference} around it.",
    ),
    "noise_high": TraceWords(
        "More noise than its surroundings",
        "Noise is the fine random grain that every camera leaves; a part taken from another picture, or sharpened, "
        "can have more of it.",
        "{place}, the picture has noise of {value} inside against {reference} around it.",
    ),
    "duplicate_region": TraceWords(
        "Two areas that repeat each other",
        "The fine detail of both areas agrees, as it does when one was copied over the other.",
    ),
    "expert_region": TraceWords(
        "Marked by the trained network",
        "The network has learned from altered pictures what alterations look like; it marks a place but gives no "
        "reason that could be recomputed by hand.",
    ),
    "region_test": TraceWords(
        "A region tested by itself",
        "The network is asked about this place alone, so weaker marks count than in a search of the whole picture.",
    ),
}

FACTS = {
    "main_grid": "The JPEG blocks of the whole picture begin at {value}, {reference_text}",
    "main_grid_moved": (
        "The JPEG blocks of the whole picture begin at {value} instead of {reference}, {reference_text}"
    ),
    "camera_facts": "The file names this camera: {value}, {reference_text}",
    "no_metadata": "The file carries no metadata (camera, date, program); {reference_text}",
    "editor_software": "The file names a program that wrote or changed it: {value} ({reference_text})",
    "edit_history": "The file lists steps of an editing history: {value} ({reference_text})",
    "generator_text": "The file contains text that image generators leave: {value} ({reference_text})",
    "date_conflict": "Dates in the file do not agree: {value} ({reference_text})",
    "dimension_conflict": "The file says it has {value}, but it has {reference} ({reference_text})",
    "trailing_data": "After the end of the picture, the file holds {value} ({reference_text})",
    "local_edits_listed": "The file itself lists local edits or parts: {value} ({reference_text})",
    "iptc_changed": "The caption block (IPTC) was changed after Photoshop had saved the file ({reference_text})",
    "maker_note": "The camera's private block (maker note), camera {value}: {reference_text}",
    "segment_order": "The parts of the file are not in the order cameras write them in: {value} ({reference_text})",
    "content_credentials_invalid": (
        "The file carries Content Credentials, a signed record of its history, that do not hold: {value} "
        "({reference_text})"
    ),
    "content_credentials_unknown_signer": (
        "The file carries valid Content Credentials, a signed record of its history, {value}; {reference_text}"
    ),
    "content_credentials_trusted": (
        "The file carries valid Content Credentials, a signed record of its history, {value}; {reference_text}"
    ),
    "content_credentials_generative": ("The Content Credentials name a generative model: {value} ({reference_text})"),
    "double_compression": (
        "The file was saved as JPEG at least twice: an earlier save had a quality of about {value}, "
        "the last one {reference}"
    ),
}
