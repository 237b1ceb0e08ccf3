"""AWS Signature Version 4 in request headers: made for the store behind, checked for the client in front.

The algorithm is AWS's: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. Signed query
strings (presigned links) and signed chunks are not taken; clients that send a body in signed chunks are told.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_plus

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
SERVICE = "s3"
CLOCK_SKEW = timedelta(minutes=15)
_STAMP = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$"
)


class SignatureRefused(Exception):
    """code: S3's error code, such as SignatureDoesNotMatch."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed. path and query as on the wire. Header names in any case, values as sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def verify(request: Request, secret_of: Callable[[str], str | None], now: datetime) -> tuple[str, str]:
    """The access key that signed the request, and the payload hash that it promises.

    Raises SignatureRefused: not signed, unknown key, wrong signature, or a clock that is 15 minutes away.
    """
    lowered = {name.lower(): value for name, value in request.headers.items()}
    found = _AUTHORIZATION.match(lowered.get("authorization", ""))
    if found is None:
        raise SignatureRefused("AccessDenied", "requests are signed with AWS Signature Version 4 in a header")
    key, day, region, names, signature = found.groups()
    signed = names.split(";")
    stamp, payload = lowered.get("x-amz-date", ""), lowered.get("x-amz-content-sha256", "")
    _check_time(stamp, day, now)
    if "host" not in signed or not payload or "x-amz-content-sha256" not in signed:
        raise SignatureRefused("AccessDenied", "host and x-amz-content-sha256 must be signed")
    secret = secret_of(key)
    expected = _signature(request, lowered, signed, stamp, region, payload, secret or "unknown")
    if not hmac.compare_digest(expected, signature) or secret is None:
        raise SignatureRefused("SignatureDoesNotMatch", "the signature does not fit the request and its key")
    return key, payload


def sign(
    request: Request, key: str, secret: str, now: datetime, *, region: str = "us-east-1"
) -> dict[str, str]:
    """The headers to add so that a store takes the request; the payload stays unsigned."""
    stamp = now.astimezone(UTC).strftime(_STAMP)
    added = {"x-amz-date": stamp, "x-amz-content-sha256": UNSIGNED}
    lowered = {name.lower(): value for name, value in request.headers.items()} | added
    signed = sorted(name for name in lowered if name == "host" or name.startswith("x-amz-"))
    signature = _signature(request, lowered, signed, stamp, region, UNSIGNED, secret)
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    credential = f"Credential={key}/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    return added | {"Authorization": f"{ALGORITHM} {credential}"}


def payload_matches(promised: str, body: bytes) -> bool:
    """Is the body the one whose hash was signed?"""
    if promised == UNSIGNED:
        return True
    return hmac.compare_digest(hashlib.sha256(body).hexdigest(), promised)


def _check_time(stamp: str, day: str, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("AccessDenied", "x-amz-date is missing or no date") from None
    if not stamp.startswith(day) or abs(now - signed_at) > CLOCK_SKEW:
        raise SignatureRefused("RequestTimeTooSkewed", "the request's time is too far from the gateway's")


def _signature(
    request: Request,
    headers: Mapping[str, str],
    signed: Iterable[str],
    stamp: str,
    region: str,
    payload: str,
    secret: str,
) -> str:
    names = list(signed)
    canonical = "\n".join(
        (
            request.method,
            request.path or "/",
            _canonical_query(request.query),
            "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names),
            ";".join(names),
            payload,
        )
    )
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    secret_bytes = b"AWS4" + secret.encode()
    for part in (stamp[:8], region, SERVICE, "aws4_request"):
        secret_bytes = hmac.new(secret_bytes, part.encode(), hashlib.sha256).digest()
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    return hmac.new(secret_bytes, text.encode(), hashlib.sha256).hexdigest()


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = [(_encode(unquote_plus(name)), _encode(unquote_plus(value))) for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
