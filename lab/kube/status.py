"""Kubernetes' `Status` failures: reason, code and details, as the API server sends them.

Source: k8s.io/apimachinery/pkg/api/errors. `details.kind` is the plural for 404 / 409 / 403 and the Kind
for 422.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.kube.objects import KubeObject


class StatusError(Exception):
    """A failure that goes over the wire as a `Status` object. `headers` are sent with it."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> KubeObject:
        """The `Status` body."""
        body: KubeObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


def _details(kind: str, group: str, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details | more


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def bad_request(message: str) -> StatusError:
    """400: the request itself cannot be read."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: no valid credentials."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(plural: str, group: str, name: str, why: str) -> StatusError:
    """403: known, and not allowed. `why` completes the sentence."""
    what = _qualified(plural, group) + (f' "{name}"' if name else "")
    return StatusError(403, "Forbidden", f"{what} is forbidden: {why}", details=_details(plural, group, name))


def not_found(plural: str, group: str, name: str) -> StatusError:
    """404: no such object."""
    message = f'{_qualified(plural, group)} "{name}" not found'
    return StatusError(404, "NotFound", message, details=_details(plural, group, name))


def path_not_found() -> StatusError:
    """404 for a path that nothing serves."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> StatusError:
    """405: the resource does not take this verb."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, details={})


def already_exists(plural: str, group: str, name: str) -> StatusError:
    """409 on create."""
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=_details(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str = "") -> StatusError:
    """409 on update: the object has moved on, or a precondition does not hold."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=_details(plural, group, name))


def gone(message: str) -> StatusError:
    """410: the resource version asked for is no longer kept."""
    return StatusError(410, "Expired", message)


def invalid(kind: str, group: str, name: str, causes: Sequence[tuple[str, str, str]]) -> StatusError:
    """422 with one cause per field: (field path, reason such as FieldValueInvalid, message)."""
    text = ", ".join(f"{field}: {message}" for field, _, message in causes)
    if len(causes) > 1:
        text = f"[{text}]"
    details = _details(
        kind,
        group,
        name,
        causes=[{"reason": reason, "message": message, "field": field} for field, reason, message in causes],
    )
    what = f"{kind}.{group}" if group else kind
    return StatusError(422, "Invalid", f'{what} "{name}" is invalid: {text}', details=details)


def unsupported_media_type(message: str) -> StatusError:
    """415: the body's type is not one we read."""
    return StatusError(415, "UnsupportedMediaType", message)


def too_many_requests(
    message: str, *, causes: Sequence[dict[str, str]] = (), retry_after: int = 0
) -> StatusError:
    """429. A spent disruption budget has causes and no Retry-After; throttling has Retry-After."""
    details: dict[str, Any] = {}
    if causes:
        details["causes"] = list(causes)
    headers = {}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
        headers["Retry-After"] = str(retry_after)
    return StatusError(429, "TooManyRequests", message, details=details or None, headers=headers)


def service_unavailable(message: str) -> StatusError:
    """503: nobody can answer this just now."""
    return StatusError(503, "ServiceUnavailable", message)


def internal_error(message: str) -> StatusError:
    """500: the server's own fault."""
    return StatusError(500, "InternalError", message)
