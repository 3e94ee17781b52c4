"""Every string that a report adds to the sentences of `reasoning`, so that a translation replaces two files.

Used by the HTML page, the PDF and the comparison page. Templates are filled with `str.format` once. Left out: the
sentences about findings (`reasoning.phrases`), and logic of any kind.
"""

from __future__ import annotations

TEXT = {
    "brand": "fakeexplain",
    "kind": "examination report",
    "title": "{label}: {name}",
    "skip": "Skip to the findings",
    "about_pixels": (
        "The verdict is about pixels: whether a part was altered. It says nothing about who did it, when or why."
    ),
    "see_not_tested": "what was not tested",
    "see": "See",
    "probability": "probability of a local alteration",
    "probability_alt": "Probability {percent} on a scale from 0 to 100 %; the prior is {prior}",
    "prior": "prior {prior}",
    "promised": "Promised false alarms",
    "promise": "at most {rate} unaltered photographs",
    "picture": "The picture",
    "side_by_side": "Side by side",
    "marked": "Marked",
    "received": "As received",
    "map": "Map",
    "received_caption": "The picture as received.",
    "nothing_marked": "Nothing to mark: no finding passed the threshold.",
    "received_alt": "The examined picture {name}, {width}x{height} pixels",
    "marked_caption": "Findings outlined: {labels}.",
    "marked_alt": "The examined picture.",
    "map_alt": "Map of suspicion, dark blue low, yellow high",
    "map_caption": (
        "Map of suspicion: yellow is more. It shows where to look; the verdict rests on the findings, not on it."
    ),
    "crop_alt": "Close view of {label}: {words}",
    "crop_copy": "{label}, taken for the copy",
    "crop_source": "{label}, taken for its source",
    "crop_native": "{label}, at native pixels",
    "crop_reduced": "{label}, reduced to {percent} %",
    "crop_enlarged": "{label}, enlarged {factor} times",
    "found": "What was found",
    "nothing": "No finding passed the threshold.",
    "not_graded": "not graded",
    "here": "here",
    "reference": "reference",
    "reference_is": "Reference: {text}",
    "nfa": "Number of false alarms (NFA)",
    "p_value": "p-value, counted on photographs",
    "further": "Further figures",
    "quiet": "Examined without a finding",
    "facts": "What the file says",
    "facts_note": "Facts about the file do not count for the verdict: anybody can write or remove them.",
    "all_entries": "All entries of {id}",
    "not_tested": "What was not tested",
    "quality": "What the file allows",
    "guide": "How to read this report",
    "record": "The record",
    "values": "All measured values",
    "values_alt": "Table of all measured values",
    "file": "File",
    "quality_settings": "Quality and settings",
    "versions": "Versions and time",
    "format_of": "{format}, {mode}, {bits} bits per sample",
    "size_of": "{width} × {height} pixels",
    "jpeg_of": "{quality}{nearest}, colour sampling {sampling}",
    "nearest": " (nearest)",
    "band": "Band",
    "threshold": "Threshold",
    "threshold_of": "log₁₀ NFA below {limit}",
    "time_taken": "Time taken",
    "schema": "Schema",
    "end": "computed from the file named above and from nothing else",
    # the PDF
    "pdf_subject": "Examination of a picture for local alterations",
    "question_title": "The question",
    "question": (
        "Was a part of this picture altered: where, why do we think so, how sure are we, and what can we not tell?"
    ),
    "answer_title": "The answer",
    "not_said": "What this does not say",
    "where": "{id}: {title}, {place}.",
    "harmless": "What else could cause this",
    "harmless_of": "{id}: {causes}.",
    "even": "even chance",
    "lay_altered": (
        "Results like this were seen about {ratio} times as often among altered pictures as among unaltered ones."
    ),
    "lay_unaltered": (
        "Results like this were seen about {ratio} times as often among unaltered pictures as among altered ones."
    ),
    "items": "Item received",
    "methods": "Methods",
    "methods_note": (
        "Each method measures one kind of trace and knows nothing of the others. The methods and their versions were "
        "fixed before the picture was opened. The file itself was read and not changed."
    ),
    "outcome_finding": "finding {ids}",
    "outcome_quiet": "nothing beyond chance",
    "outcome_abstained": "could not be applied",
    "outcome_fact": "facts {ids}",
    "outcome_measurement": "measured {ids}",
    "account": "In the assistant's words",
    "account_note": (
        "Worded by {writer}; each sentence was checked against the evidence. {own} of {total} sentences are the "
        "model's own; {struck} did not hold and were replaced or left out. The verdict does not depend on them."
    ),
    "conclusion": "Conclusion and its limits",
    "propositions": "The findings are weighed under two propositions:",
    "proposition_altered": "A: a part of the picture was altered after it was taken.",
    "proposition_unaltered": (
        "B: no part of the picture was altered locally; it may have been saved, resized or toned as a whole."
    ),
    "support": "The findings give {degree} support to proposition {first} against proposition {second}.",
    "support_none": "The findings support neither proposition against the other.",
    "support_inconclusive": (
        "The examination is inconclusive. It supports neither proposition, and no likelihood ratio is given."
    ),
    "support_uncounted": "No likelihood ratio is given, for none was counted for a result like this.",
    "ratio": (
        "Results like this were seen about {ratio} times as often among pictures of kind {first} as among pictures of "
        "kind {second} (likelihood ratio)."
    ),
    "ratio_counted": (
        "This was counted on {authentic} unaltered and {forged} altered pictures ({data}). With so many pictures, no "
        "ratio above {most} can be shown, however clear a finding is."
    ),
    "ratio_use": (
        "The ratio compares these pictures, and alterations of the kind that were counted, not every way to alter a "
        "picture. It is not the probability that the picture was altered: for that, what else is known about the "
        "picture must be weighed in, and this report knows nothing of it. The {percent} on page 1 holds for a reader "
        "who gave both propositions even chances before."
    ),
    "program": "This report was written by a program. No person has checked it.",
    "appendix": "Appendix: all values",
    "glossary": "Words used",
    "page": "page {page} of {pages}",
    "lacking": "Characters that this document's font lacks are written as ‹U+number›.",
    "omitted": "… {count} more entries; see examination.json",
}

# Likelihood ratio below which the words hold: verbal scale of the ENFSI Guideline for Evaluative Reporting (2015).
SUPPORT: tuple[tuple[float, str], ...] = (
    (2, ""),
    (10, "weak"),
    (100, "moderate"),
    (1_000, "moderately strong"),
    (10_000, "strong"),
    (1_000_000, "very strong"),
    (float("inf"), "extremely strong"),
)

GUIDE = (
    "Each instrument looks for one kind of trace and knows nothing of the others. A finding counts only when its "
    "result would be very rare in an unaltered photograph. The verdict is computed from the findings alone.",
    "“No evidence found” means that these instruments saw nothing. It does not show that the picture is unaltered: a "
    "careful alteration, or strong compression afterwards, can leave no trace.",
    "Some findings have harmless causes. They are named under each finding and should be weighed with what else is "
    "known about the picture.",
)

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("Evidence, E1, E2, …", "One measured record. Every sentence names the records it rests on."),
    (
        "NFA",
        "Number of false alarms: how many results as extreme as this one are expected in one unaltered picture by "
        "chance. 0.001 means one in a thousand pictures. It is not the probability of an alteration.",
    ),
    ("Noise", "The fine random grain that a camera leaves all over a picture."),
    ("JPEG grid", "The net of 8 by 8 pixel blocks that saving as JPEG leaves."),
    ("sha256", "A fingerprint of the file. If one bit changes, the fingerprint changes."),
)

# Further words for a reader of the printed report.
GLOSSARY_PRINT: tuple[tuple[str, str], ...] = (
    ("Local alteration", "A change to a part of the picture: something added, removed, moved, covered or repainted."),
    ("JPEG", "A way to store pictures in little space. It discards fine detail, more with each save."),
    ("Metadata", "Text stored beside the picture: camera, date, program. Anybody can write or remove it."),
    ("Likelihood ratio", "How many times more often a result is seen under one proposition than under the other."),
    ("False alarm", "An unaltered picture that is called altered by mistake."),
)

METHOD_COLUMNS = ("Method", "Version", "What it looks for", "Outcome")
VALUE_COLUMNS = ("Id", "Instrument", "Kind", "Quantity", "Value", "Reference", "log₁₀ NFA")

FILE_ROWS = {
    "name": "Name",
    "sha256": "sha256",
    "size": "Size",
    "format": "Format",
    "dimensions": "Dimensions",
    "jpeg": "JPEG quality",
    "remark": "Remark",
}

COMPARISON = {
    "kind": "comparison of two pictures",
    "title": "Comparison: {name}",
    "changed": "Changed",
    "unclear": "Unclear",
    "no_change": "No change found",
    "trust": "trust in the mask, of 1",
    "trust_note": (
        "An estimate of how far the marked area agrees with what was really changed (intersection over union). It is "
        "not the probability that something was changed."
    ),
    "area": "of the questioned picture is marked",
    "original": "Original",
    "questioned": "Questioned picture",
    "original_alt": "The original, moved into the frame of the questioned picture",
    "original_caption": "The original in the frame of the questioned picture. Plain grey: not covered by it.",
    "questioned_alt": "The questioned picture with the differing places outlined",
    "questioned_caption": "The questioned picture, differing places outlined.",
    "map_alt": "Map of the difference, dark blue none, yellow strong",
    "map_exact": "Smallest change that explains the questioned file; yellow from 24 grey levels on.",
    "map_noise": "Difference against the noise of the pair, tone matched; yellow from 12 times the noise on.",
    "view_alt": "Close view of {id}: {words}",
    "pictures": "Side by side",
    "places": "Where they differ",
    "place": "changed by {levels} grey levels on average",
    "no_places": "Nothing is marked.",
    "more": "{count} smaller places are in the mask, but not listed.",
    "examinations": "Each picture examined alone",
    "examinations_note": (
        "These examinations know nothing of the other picture. The comparison does not change them, and they do not "
        "change the comparison."
    ),
    "geometry": "How the original lies on the questioned picture",
    "figures": "Figures of the comparison",
    "model": "Motion",
    "scale": "Scale",
    "rotation": "Turned clockwise by",
    "shift": "Centre moved by x, y",
    "visible": "Original that is seen",
    "overlap": "Questioned picture covered",
    "correlation": "Correlation of detail",
    "matrix": "Matrix, row by row",
}
