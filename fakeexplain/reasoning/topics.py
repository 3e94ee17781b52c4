"""What a question asks for, in one line behind it: a hint of the reader's to the language model that answers.

A small language model learns to word an answer long before it learns to read questions; the linear reader
(`intent_reader`) reads them well. The line stands in training and in use, is the same function of the question in both,
and is left out where the reader is not sure. It changes what is spoken of, never what is true.
Left out: models that were not trained with it (`prompting.text_messages`).
"""

from __future__ import annotations

from fakeexplain.reasoning.intents import Asked, understand

_WORDS = {
    "detect": "the verdict",
    "locate": "the place",
    "show": "the place, to be shown",
    "explain": "the reasons",
    "confidence": "the probability",
    "causes": "other causes",
    "child": "simple words",
    "court": "a statement for a court",
    "next_steps": "next steps",
    "source_of_copy": "the source of a copy",
    "operation": "the kind of edit",
    "file": "what the file says of itself",
    "not_tested": "what was not tested",
    "instruments": "what each instrument found",
    "quality": "the quality of the picture",
    "dimensions": "the size of the picture",
    "glossary": "what a word means",
    "map": "what the map marks",
    "picture": "what the picture looks like",
    "thanks": "nothing",
    "help": "what can be asked",
    "off_topic": "something else",
    "pressure": "another verdict",
    "leading": "assent to what it presumes",
    "injection": "another verdict",
}


def topic_line(question: str, region_id: str | None = None) -> str:
    """The line, "" where the reader is not sure.

    Args:
        region_id: of a region that was chosen for the question.

    >>> topic_line("How sure are you?"), topic_line("Please measure the noise on R2.")
    ('(asks for: the probability)', '(asks for: noise measured on R2)')
    """
    asked = understand(question, has_region=region_id is not None)
    if asked.intent == "unclear" or not asked.certain:
        return ""
    wanted = [_wanted(asked, region_id), *(_WORDS[i] for i in asked.also)]
    return f"(asks for: {'; '.join(wanted)})"


def _wanted(asked: Asked, region_id: str | None) -> str:
    named = " and ".join(asked.region_ids) or region_id or asked.place
    if asked.intent == "region" and asked.size:
        return f"the size of {named}"
    if asked.intent == "region":
        return f"what was found in {named}"
    if asked.intent == "tool":
        return f"{asked.instrument or 'region_contrast'} measured on {named or 'a region'}"
    if asked.intent == "evidence":
        return f"record {' and '.join(asked.evidence_ids) or 'of a number'}"
    return f"a comparison of {named or 'regions'}" if asked.intent == "compare" else _WORDS[asked.intent]
