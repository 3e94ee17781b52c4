"""How figures, places and strings of a record are printed in answers: the library's own way of printing them.

Deliberately left out: templates (`phrases`) and parsing (`verify`).
"""

from fakeexplain.reasoning.quoting import (
    FORBIDDEN,
    INSTRUMENT_PHRASES,
    box_words,
    cite,
    instrument_words,
    place_of,
    quotable,
    quote,
    rate_of,
    size_of,
    value_words,
)

__all__ = [
    "FORBIDDEN",
    "INSTRUMENT_PHRASES",
    "box_words",
    "cite",
    "instrument_words",
    "place_of",
    "quotable",
    "quote",
    "rate_of",
    "size_of",
    "value_words",
]
