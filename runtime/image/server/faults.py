"""Error answers of the registry server: distribution-spec's codes, with status and message."""

from __future__ import annotations

from typing import Any

import msgspec


class FaultError(Exception):
    """An error answer. code: one of distribution-spec's; headers: sent along (an upload's `Range`)."""

    def __init__(
        self, status: int, code: str, message: str, detail: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = headers or {}

    def body(self) -> bytes:
        """The answer's JSON."""
        error = {"code": self.code, "message": self.message, "detail": self.detail}
        return msgspec.json.encode({"errors": [error]})


def blob_unknown(digest: str) -> FaultError:
    """A blob that the repository does not have."""
    return FaultError(404, "BLOB_UNKNOWN", f"blob {digest} is not in this repository", {"digest": digest})


def manifest_unknown(reference: str) -> FaultError:
    """A manifest or tag that the repository does not have."""
    return FaultError(
        404, "MANIFEST_UNKNOWN", f"manifest {reference} is not in this repository", {"reference": reference}
    )


def name_unknown(repository: str) -> FaultError:
    """A repository that nothing was pushed to."""
    return FaultError(404, "NAME_UNKNOWN", f"repository {repository} is not known", {"name": repository})


def upload_unknown(upload: str) -> FaultError:
    """An upload that was finished, cancelled, or never started."""
    return FaultError(
        404,
        "BLOB_UPLOAD_UNKNOWN",
        f"upload {upload[:80]} is not known any more; start another one",
        {"upload": upload[:80]},
    )
