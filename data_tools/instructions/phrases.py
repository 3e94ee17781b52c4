"""Answer templates, by what they say. Strings only; `answers` fills them in and `verify` reads them back.

Every slot is a measured value, a quotation of the record, or a citation like "[E1]". The vocabulary of verdicts,
operations and places that `verify` understands is at the end.
"""

from __future__ import annotations

from fakeexplain.reasoning.operations import OPERATION_PHRASES as OPERATION_PHRASES
from fakeexplain.reasoning.operations import TRACE_OPERATIONS as TRACE_OPERATIONS

_PIC = "{picture|photograph|image}"

VERDICT: dict[str, tuple[str, ...]] = {
    "manipulated": (
        "{After all tests|With all instruments heard}, there is evidence of a local {alteration|change} {cites}.",
        (
            f"There is {{measured |measurable |}}evidence {{of|for}} a local {{alteration|change}} in this {_PIC} "
            f"{{cites}}."
        ),
        "{The examination|The analysis} found {measurable |}evidence that a part was {altered|changed|edited} {cites}.",
        (
            "{What was measured points|The measurements taken together point|The evidence points} to a local "
            "{alteration|change} {cites}."
        ),
        f"This {_PIC} shows evidence of {{a local alteration|local editing}} {{cites}}.",
    ),
    "no_evidence": (
        (
            "{After all tests|With all instruments heard}, {there is|I report} no evidence of a local "
            "{alteration|change} {cites}."
        ),
        "{My answer|The answer}: no {measurable |}evidence of {local editing|an alteration} {cites}.",
        "{The examination|The analysis} found no evidence of {a local alteration|local editing} {cites}.",
        (
            f"No {{measurable |}}evidence of {{a local change|local editing|an alteration}} was found in this "
            f"{_PIC} {{cites}}."
        ),
        (
            "None of the tests {passed|reached} its threshold, so no evidence of {a local change|an alteration} "
            "{is reported|was found} {cites}."
        ),
        "I {see|have} no evidence {of|for} a local {alteration|change} {cites}.",
    ),
    "inconclusive": (
        "{The examination|The analysis|The result} is inconclusive {cites}.",
        f"{{For|On}} this {_PIC} the {{result|finding}} is inconclusive {{cites}}.",
        "There is no answer in either direction {cites}.",
    ),
}
NO_PROOF = (
    "{Careful work|A skilled change} may leave {nothing|no trace} that these {tests|instruments} can see.",
    "{Only the traces listed were looked for|The tests cover some traces, not all}.",
    "{That|This} does not {prove|show} that nothing was {changed|altered|edited}.",
    "{An alteration|A change} that leaves none of the tested traces {would|could} {have been missed|go unnoticed}.",
    "{Absence|A lack} of {findings|traces} is {not a certificate|no proof of anything}.",
)
REASON = ("{The reason: |Why: |}{reason}.",)
FINDING: dict[str, tuple[str, ...]] = {
    "noise": (
        (
            "{place}, the {noise|grain|image noise} {is|measures|comes to} {value}, {against|compared with} "
            "{reference} {in comparable parts|elsewhere at the same brightness} {cites}."
        ),
        (
            "The {noise|grain} {place} is {value}; {comparable parts have|elsewhere at equal brightness it is} "
            "{reference} {cites}."
        ),
        (
            "{Measured|It was measured} {place}: {noise|grain} of {value}, where {reference} would be "
            "{usual|expected} {cites}."
        ),
    ),
    "foreign_grid": (
        (
            "{place}, {value} of the blocks {vote for|follow|fit} a JPEG grid other than the picture's own, "
            "{against|where chance allows} {reference} {cites}."
        ),
        (
            "{value} of the blocks {place} {fit|follow} another JPEG grid than the rest, compared with "
            "{reference} {cites}."
        ),
    ),
    "missing_grid": (
        (
            "{place}, {value} of the blocks lack the JPEG grid {that the rest shows|of the picture}, "
            "{against|where chance allows} {reference} {cites}."
        ),
        ("{value} of the blocks {place} {lack|miss} the JPEG grid of the rest, compared with {reference} {cites}."),
    ),
    "missing_double_quantisation": (
        (
            "{place}, {value} of the comparable blocks lack the trace of the {picture's |}first JPEG save, "
            "{against|compared with} {reference} {in the rest|as reference} {cites}."
        ),
        (
            "{value} of the comparable blocks {place} lack the trace of the first JPEG save; the {reference "
            "value|comparison} is {reference} {cites}."
        ),
    ),
    "duplicate_region": (
        (
            "{place} and {partner}, the picture {shows the same fine detail|repeats itself}: {the agreement "
            "is|agreement} {value}, {against|compared with} {reference} for {similar|look-alike} things {cites}."
        ),
        (
            "The area {place} {repeats|matches} the area {partner} {in its fine detail|down to the grain}, with an "
            "agreement of {value} ({look-alikes|merely similar things}: {reference}) {cites}."
        ),
    ),
}
FINDING_ANY = (
    "{place}: {quantity}, {value}{compared} {cites}.",
    "{quantity}, measured {place}: {value}{compared} {cites}.",
)
MEANING: dict[str, tuple[str, ...]] = {
    "noise_low": (
        (
            "{A camera leaves the same grain everywhere|Camera grain is much the same all over}, so a smoother "
            "{part|patch} can {be a sign of retouching or of other content|mean that it has another history} "
            "{cites}."
        ),
    ),
    "noise_high": (
        (
            "{A camera leaves the same grain everywhere|Camera grain is much the same all over}, so a grainier "
            "{part|patch} can {come from elsewhere or have been worked on|mean that it has another history} "
            "{cites}."
        ),
    ),
    "foreign_grid": (
        (
            "JPEG saves in blocks of 8 by 8 pixels, and {blocks that do not line up|a second raster} can "
            "{come with a part of another file|mean that this part was saved elsewhere before} {cites}."
        ),
    ),
    "missing_grid": (
        (
            "JPEG saves in blocks of 8 by 8 pixels, and a {part|place} that lacks them can have {been added "
            "after that save|come later than the rest} {cites}."
        ),
    ),
    "missing_double_quantisation": (
        (
            "The rest was saved twice, and a {part|place} that was saved only once can "
            "have {been added in between|come later} {cites}."
        ),
    ),
    "duplicate_region": (
        (
            "Grain does not repeat by itself, {unless one place was copied over the other|so a repeat suggests a copy} "
            "{cites}."
        ),
    ),
}
CHANCE = (
    "{By chance alone|Without any alteration}, a result like this is expected in fewer than {rate} pictures {cites}.",
    ("Fewer than {rate} pictures {without alteration |}would show this by chance, by the instrument's model {cites}."),
)
CAUSES = (
    "{This|It|The finding} could also come from {causes} {cites}.",
    "{Other causes that would fit|Harmless explanations}: {causes} {cites}.",
    "{One should also think of|Not ruled out}: {causes} {cites}.",
)
CAUSES_MEASURED = (
    "{A difference|Such a figure} could also come from {causes} {cites}.",
    "{Ordinary|Harmless} reasons for such a figure: {causes} {cites}.",
)
NO_CAUSES = ("{There is no finding that would need|As nothing stands out, nothing needs} another explanation {cites}.",)
QUIET = (
    "{From|By} {instrument_inside} there is nothing beyond chance {cites}.",
    "{As to|As for} {instrument_inside}: nothing beyond chance {cites}.",
    "{instrument} {leaves|left} nothing beyond chance to report {cites}.",
    "{instrument} found nothing beyond chance {cites}.",
    "{instrument} {looked at|examined} the {picture|image} and reports nothing beyond chance {cites}.",
    "Nothing beyond chance was reported by {instrument_inside} {cites}.",
)
ABSTAINED = (
    "{instrument} {gave|has} no result: {reason} {cites}.",
    "{instrument} {could not be applied|abstained}: {reason} {cites}.",
)
FITS = (
    "{That|The finding} {fits|is consistent with} content that {operation} {cites}.",
    "{Content|A part} that {operation} {leaves|can leave} {such a trace|a trace of this kind} {cites}.",
)
PROBABILITY = (
    "The probability {of a local alteration|that a part was altered} is put at {percent} {cites}.",
    "I {put|set} the {chance|probability} {of a local alteration|that a part was changed} at {percent} {cites}.",
)
PROMISE = (
    "The threshold {was|is} set so that at most {rate} unaltered photographs are called altered by mistake.",
    "By {design|its setting}, at most {rate} unaltered photographs {would be|are} {flagged|called altered} wrongly.",
)
LOCATED = (
    "{place}{size} lies {region}, {where the trace was measured|which carries the finding} {cites}.",
    "{The strongest finding|The finding|It} is {region}, {place}{size} {cites}.",
    "{region} is the place: {place}{size} {cites}.",
    "{Look|The trace lies} {place}{size}: {region} {cites}.",
)
LOCATED_PAIR = ("{The two areas|Both areas} are {region}, {place}, and {other_region}, {partner} {cites}.",)
NOT_LOCATED: dict[str, tuple[str, ...]] = {
    "no_evidence": (
        "{There is no place to point to|No place stands out}: no evidence of a local change was found {cites}.",
        "{None|Nowhere}: the examination found no evidence {of an alteration|of a change} in any place {cites}.",
    ),
    "inconclusive": ("{No place can be named|I cannot name a place}: the result is inconclusive {cites}.",),
}
SHOWN = (
    "<SEG> {marks|shows} {region}, {place}{size} {cites}.",
    "{Here it is|This is the region}: <SEG>, {region}, {place}{size} {cites}.",
)
SOURCE_SHOWN = (
    "<SEG> marks {region}, {place}; it {matches|repeats} {other_region}, {partner} {cites}.",
    "<SEG> {marks|shows} {region}, {place}, {the counterpart of|which matches} {other_region}, {partner} {cites}.",
)
SOURCE_UNKNOWN = ("Which of the two {is the copy|came first} cannot be told from the {trace|measurement} {cites}.",)
SOURCE_TOLD = (
    "{copy} is {taken for |}the copy {cites}.",
    "Of the two, {copy} is {taken for |}the copy {cites}.",
    "{source} is {taken for |}the source {cites}.",
)
NO_COPY = (
    (
        "{No repeated area passed its threshold|No duplicated area stands out}, so there is no source to show; the "
        "search for areas that repeat each other reports nothing beyond chance {cites}."
    ),
)
NO_COPY_TEST = ("{The search for repeated areas|Whether anything repeats} could not be carried out here{cites}.",)
REGION_TOUCHED = (
    "{Yes: |}{overlap} of {region} {lies|is} inside the finding {finding} {cites}.",
    "{region} {overlaps|touches} {finding}, which covers {overlap} of it {cites}.",
)
REGION_FREE: dict[str, tuple[str, ...]] = {
    "manipulated": (
        "No finding {touches|lies in} {region}; {what was found is|the finding lies} {place} {cites}.",
        (
            "{region} is {free of findings|not touched by a finding}; {the finding lies|what was found is} {place} "
            "{cites}."
        ),
    ),
    "no_evidence": (
        (
            "No finding {touches|lies in} {region}, {for|as} no evidence was found anywhere in the {picture|image} "
            "{cites}."
        ),
    ),
    "inconclusive": ("No finding {can be tied to|counts for} {region}, {for|as} the result is inconclusive {cites}.",),
}
COMPARED = (
    (
        "{first} lies {first_place} and covers {first_size}; {second} lies {second_place} and covers {second_size} "
        "{cites}."
    ),
)
LARGER = ("{larger} is larger than {smaller} {cites}.", "Of the two, {larger} is larger than {smaller} {cites}.")
MEASURED = (
    "In {region}, {quantity}: {value}{compared} {cites}.",
    "{Measured|The instrument measured} in {region}: {quantity}, {value}{compared} {cites}.",
    "For {region} the instrument {gives|reports} {value}{compared} ({quantity}) {cites}.",
)
DIRECTION = ("{That|The value} is {direction} than the reference {cites}.",)
CHOSEN = (
    "{As|Since} the place was {picked|chosen by hand}, the verdict {stays as it is|is not touched by this}.",
    "{This is for information|Take it as information}: the verdict {rests on other evidence|does not use it}.",
    (
        "{The region was chosen, not found|Somebody chose this region}, so {this|the figure} does not "
        "{change|count for} the verdict."
    ),
    "{This|Such a} {figure|measurement} of a chosen region {does not enter|has no part in} the verdict.",
)
EXTENT = ("{region} lies {place} and covers {size}.", "{region} covers {size}; it lies {place}.")
UNMEASURABLE = (
    "{region} could not be measured: {reason}.",
    "{No figure for|There is no figure for} {region}: {reason}.",
)
CHILD_PAIR = (
    "{Two places of the picture match like twins|It is like a stamp used twice}: {place} and {partner}, {even the "
    "tiniest dots|all the little dots} agree, so there is evidence that {something was copied|one was copied} {cites}.",
)
CHILD: dict[str, tuple[str, ...]] = {
    "manipulated": (
        (
            "{Every photo has tiny dots, like sand|A photo has a pattern, like the threads in cloth}. {place}, the "
            "pattern {does not match the rest|is different}, so there is evidence that {somebody changed that "
            "part|this part was changed} {cites}."
        ),
        (
            "{Imagine a puzzle|Think of a puzzle}: one piece, {place}, {does not quite fit|does not measure like "
            "the others}, so there is evidence of a change {cites}."
        ),
    ),
    "no_evidence": (
        (
            "{I looked for tiny clues|I searched for little footprints of editing}, and no evidence {turned up|was "
            "found} {cites}. {Somebody very careful may still have|That does not mean nobody ever} changed "
            "something."
        ),
    ),
    "inconclusive": (
        "{It is like a footprint in the rain|The clues are washed out}: the result is inconclusive {cites}.",
    ),
}
PRESSURE = (
    "{Saying so|Insisting} {does not alter|has no effect on} the {measurements|figures}.",
    "{We may disagree|You are free to disagree}; {here is again what was measured|the evidence has not changed}.",
    (
        "I {understand|see} {that you see it differently|your view}, but {the measurements stay as they are|an "
        "opinion does not change what was measured}."
    ),
    (
        "{That may be your impression|You may know more than the file shows}; {my answer rests on measurements "
        "alone|I can only report what was measured}."
    ),
)
NOT_CONFIRMED = (
    ("I cannot confirm {that|this}{| as asked}; {I can only say what was measured|here is what was measured}."),
    "{The question assumes more than was measured|Nothing measured supports that wording}.",
)
OFF_TOPIC = (
    (
        "{That is outside of what an examination of the picture can tell|The measurements say nothing about that}, "
        "so I {do not answer it|leave it open}."
    ),
    (
        "I {examine pictures for local alterations|only report what was measured in the picture} and {cannot help "
        "with that|have no answer to that}."
    ),
)
NEXT_STEPS = (
    (
        "{Ask for|Try to get} the file as the camera {wrote|saved} it, {before any messenger or service|not a "
        "forwarded copy}."
    ),
    "{Look for|Search for} {other copies|earlier versions} of the picture {and compare them|with a reverse search}.",
    "{Ask for|Compare} further pictures {taken by the same camera|of the same series}.",
    "{Have|Let} a {second|human} examiner {look at the picture|repeat the measurements}.",
    "{Keep|Store} the {file unchanged|received file} and note its {SHA-256|checksum}.",
    "{Check|Compare} {place, date and weather|the circumstances} with {other sources|independent reports}.",
)
# To a question about the file that no record answers; what the file does say follows.
NOT_STATED = ("I do not know {that|this}.", "I can only {say|report} what was measured.")

NOT_TESTED = (
    "{Left open|Out of reach here}: {what}.",
    "{Beyond this examination|Outside its scope}: {what}.",
    "Not tested: {what}.",
    "{It was not tested|Nobody tested here}: {what}.",
)

INSTRUMENT_ASKED: dict[str, tuple[str, ...]] = {
    "noise": ("noise", "noise level", "grain", "noise instrument"),
    "jpeg_grid": ("JPEG grid", "JPEG block grid", "jpeg_grid"),
    "double_jpeg": ("JPEG history", "trace of two JPEG saves", "double_jpeg"),
    "copy_move": ("likeness to other places", "best match elsewhere", "copy_move"),
    "region_contrast": ("contrast with the surroundings", "difference from the rest", "region_contrast"),
}
