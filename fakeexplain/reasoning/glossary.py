"""What the words of an answer mean: terms, the instruments by their names, and methods that people know from elsewhere.

Fixed sentences that say nothing about any one picture. Left out: noticing that a term is asked for (`particulars`).
"""

from __future__ import annotations

import re

from fakeexplain.reasoning.phrases import INSTRUMENTS

_METADATA = (
    "Metadata (EXIF, XMP, IPTC) are entries beside the picture: camera, date, program, position; anybody can write or "
    "strip them, so they never count for the verdict."
)
# term -> (the ways it is written, its sentences); the first that matches whole is meant
_INSTRUMENT_TERMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "jpeg_grid": (
        r"jpeg[_ -]?grid|block grid|8 ?x ?8 grid",
        (
            "JPEG saves a picture in blocks of 8 by 8 pixels and leaves their edges in it; a part whose blocks do not "
            "line up with the rest, or that has none, was put in or worked over after a save.",
        ),
    ),
    "double_jpeg": (
        r"double[_ -]?jpeg(?: (?:saving|compression))?|double (?:compression|quanti[sz]ation)|dq",
        (
            "A picture that was saved as JPEG twice shows both saves in its figures; a part that shows the last one "
            "alone was added after the first.",
        ),
    ),
    "noise": (
        r"noise(?: level)?",
        (
            "Noise is the fine random grain that every camera leaves, much the same all over a picture; a part with "
            "more or less of it may come from elsewhere, or was smoothed or sharpened.",
        ),
    ),
    "copy_move": (
        r"copy[_ -]?move(?: forgery)?|duplicated areas?|cloning",
        (
            "It looks for two places whose finest detail agrees, also turned, mirrored or resized, as it does when one "
            "was copied over the other; things that only look alike do not agree so far.",
        ),
    ),
    "expert": (
        r"expert|(?:trained |neural )?network",
        (
            "It has learned from altered pictures what alterations look like; it marks places and gives no reason that "
            "could be recomputed by hand.",
        ),
    ),
    "metadata": (r"metadata", (_METADATA,)),
    "region_contrast": (
        r"region[_ -]?contrast",
        (
            "It compares noise, sharpness, colour and brightness inside with the surroundings and with other places of "
            "the same size, and never counts for the verdict.",
        ),
    ),
}
_TERMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "nfa": (
        r"nfa|number of false alarms|log10[_ ]?nfa",
        (
            "The number of false alarms (NFA) is how many results as strong as this one are expected by chance in one "
            "unaltered picture, by the instrument's own model; 0.001 means one such picture in a thousand.",
            "The smaller it is, the less chance explains a finding; a finding counts from a threshold on.",
        ),
    ),
    "p-value": (
        r"p[- ]?values?|p",
        (
            "A p-value is the share of unaltered photographs that gave a result at least as strong as this one; it was "
            "counted on photographs set aside for that.",
        ),
    ),
    "likelihood ratio": (
        r"likelihood ratio|lr|bayes factor",
        (
            "A likelihood ratio says how much more probable a result is if a part was altered than if none was.",
            "It is the weight of the evidence alone; the probability adds that one picture in two was taken for "
            "altered before anything was measured.",
        ),
    ),
    "false alarm": (
        r"false (?:alarms?|positives?)(?: rate)?|promise|threshold",
        (
            "A false alarm is an unaltered photograph that is called altered; the promised rate is how many of a "
            "hundred may be, and the thresholds of all tests are set so that together they keep it.",
        ),
    ),
    "verdict": (
        r"verdict|(?:evidence of )?(?:a )?local alteration|manipulated",
        (
            "There are three verdicts: evidence of a local alteration, no evidence found, and inconclusive.",
            "Evidence means that at least one test passed a threshold which few unaltered photographs pass.",
        ),
    ),
    "no evidence": (
        r"no[_ ]evidence(?: found)?",
        (
            "No evidence found means that every test which could be made stayed below its threshold; an alteration "
            "that leaves none of the tested traces looks the same.",
        ),
    ),
    "inconclusive": (
        r"inconclusive",
        (
            "Inconclusive means that the picture carries too little to answer either way, or that its traces "
            "contradict each other; it is neither a yes nor a no.",
        ),
    ),
    "heat map": (
        r"(?:heat|score)[- ]?map|map",
        (
            "The heat map shows where the trained network sees traces of an alteration, from 0 to 1; from 0.5 on it "
            "marks a place, which alone is no finding: the picture as a whole has to pass its threshold, too.",
        ),
    ),
    "exif": (r"(?:exif|xmp|iptc)(?: (?:data|block|entries))?", (_METADATA,)),
    "region": (
        r"rs?|region(?: id)?",
        ("R and a number name a region of the picture: one that a finding marks, or one that somebody chose.",),
    ),
    "record": (
        r"es?|evidence id|record|citation",
        ("E and a number name a record of the examination: what one test measured, or one fact about the file.",),
    ),
    "calibration": (
        r"calibration|calibrated|conformal(?: (?:prediction|threshold))?",
        (
            "Calibration means that thresholds and probabilities were set on photographs with a known answer, so that "
            "a promised rate of false alarms is kept on pictures like those.",
        ),
    ),
    "splice": (
        r"splic(?:e|ing)|compositing|composite",
        ("A splice is a part that was taken from another picture and pasted in.",),
    ),
    "removal": (
        r"inpainting|removal|content-aware fill",
        ("A removal covers something with content made from its surroundings, by hand or by a program.",),
    ),
    "quantisation": (
        r"(?:jpeg )?quanti[sz]ation(?: tables?)?",
        (
            "A JPEG file stores its picture rounded to the steps of a quantisation table; the table tells of the "
            "program or camera that saved it last, and two rounds of rounding leave a pattern.",
        ),
    ),
    "c2pa": (
        r"c2pa|content credentials?",
        (
            "Content Credentials (C2PA) are a signed record of a file's history; they show who signed what, and not "
            "that the picture is true to what was there.",
        ),
    ),
    "sha-256": (
        r"sha-?256|checksum|hash",
        ("A SHA-256 checksum is a number made from every byte of a file: one changed byte gives another number.",),
    ),
    "ela": (
        r"ela|error level analysis",
        (
            "Error level analysis (ELA) shows how much a picture changes when it is saved as JPEG once more.",
            "It is not used here: it has no rate of false alarms, and edges and bright areas light up in any picture.",
        ),
    ),
    "prnu": (
        r"prnu|(?:sensor|camera) (?:fingerprint|noise pattern)",
        (
            "The fingerprint of a sensor (PRNU) is a fixed pattern that one camera leaves in all its pictures.",
            "It is not used here: it needs many other pictures of the same camera.",
        ),
    ),
}


def _instrument(name: str, sentences: tuple[str, ...]) -> tuple[str, ...]:
    title, what = INSTRUMENTS[name]
    return (f"{title} ({name}) is {what}.", *sentences)


GLOSSARY: dict[str, tuple[str, ...]] = {
    **{name: _instrument(name, sentences) for name, (_, sentences) in _INSTRUMENT_TERMS.items()},
    **{name: sentences for name, (_, sentences) in _TERMS.items()},
}
SENTENCES = frozenset(s for sentences in GLOSSARY.values() for s in sentences)
_WRITTEN = {
    name: re.compile(pattern, re.IGNORECASE)
    for terms in (_INSTRUMENT_TERMS, _TERMS)
    for name, (pattern, _) in terms.items()
}


def term_of(words: str) -> str:
    """The term that is written like this, "" for none.

    >>> term_of("NFA"), term_of("copy-move"), term_of("this picture")
    ('nfa', 'copy_move', '')
    """
    return next((name for name, pattern in _WRITTEN.items() if pattern.fullmatch(words.strip())), "")
