"""Errors of the case folder, below the one exception tree in `fakeexplain.errors`."""

from fakeexplain.errors import FakeExplainError


class CaseError(FakeExplainError):
    """A case folder cannot be used as asked: it is none, exists already, or an item or examination is not in it."""


class CaseDamagedError(CaseError):
    """What is on disk is not what the log says; nothing is appended to such a case."""


class CaseLockedError(CaseError):
    """Another process is working on the case and did not finish in time."""
