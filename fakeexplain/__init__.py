"""Was this photograph altered: where, why we think so, how sure we are, and what we cannot tell.

>>> from fakeexplain import Examiner
>>> examination = Examiner().examine("photo.jpg")   # doctest: +SKIP
>>> examination.verdict.label                       # doctest: +SKIP
'no_evidence'

Importing the package stays cheap: heavy parts load when they are first used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Examiner", "__version__"]

if TYPE_CHECKING:
    from fakeexplain.examiner import Examiner


def __getattr__(name: str) -> Any:
    if name == "Examiner":
        from fakeexplain.examiner import Examiner

        return Examiner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
