"""What a request can be refused for, beyond the library's own errors; each knows its HTTP status."""

from __future__ import annotations

from fakeexplain.errors import FakeExplainError


class AppError(FakeExplainError):
    """Base: `status` is the HTTP status, `code` a machine name, `retry_after` seconds to wait or None."""

    status = 400
    code = "bad_request"
    retry_after: int | None = None


class BusyError(AppError):
    """The queue is full; nothing was started."""

    status = 503
    code = "busy"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooLargeError(AppError):
    """More bytes than one request may bring."""

    status = 413
    code = "too_large"


class UnknownPictureError(AppError):
    """No picture of that id: never uploaded, or deleted since."""

    status = 404
    code = "unknown_picture"


class UnknownEvidenceError(AppError):
    """The picture has no such evidence or region."""

    status = 404
    code = "unknown_evidence"


class TaskCancelledError(AppError):
    """The work was cancelled by the one who asked, or because the server ends."""

    status = 499
    code = "cancelled"


class TaskTimeoutError(AppError):
    """The work took longer than one request may."""

    status = 504
    code = "timeout"


class WorkFailedError(AppError):
    """The work failed for a reason that is no fault of the request; details are in the server's log."""

    status = 500
    code = "internal"
