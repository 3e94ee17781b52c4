"""One exception tree. Every message says what came, what was wanted and what to do.

Anything below `FakeExplainError` is a problem of the input or the settings and is shown to the user as one line;
anything else that escapes is a bug.
"""


class FakeExplainError(Exception):
    """Base of all errors that a user can cause and mend."""


class SourceError(FakeExplainError):
    """A source image cannot be read: missing, empty, not an image, truncated, too large."""


class UnsupportedImageError(SourceError):
    """The bytes are an image, but of a kind that is not read here (say, floating point samples)."""


class ImageTooLargeError(SourceError):
    """The header announces more pixels than the limit allows; nothing was decoded."""


class MeasurementError(FakeExplainError):
    """A measurement on a chosen region is not possible (unknown instrument, region too small, wrong frame)."""


class OutputError(FakeExplainError):
    """A result cannot be written."""


class SettingsError(FakeExplainError):
    """A setting is out of range or unknown."""


class WriterError(FakeExplainError):
    """A writer of answers (a language model, a server) cannot answer: missing, unreachable, or a question too long."""
