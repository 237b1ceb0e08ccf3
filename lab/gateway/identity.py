"""Who is calling: bearer tokens of the known automations, read from a mounted Secret."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from lab.core.clock import Clock
from lab.kube.status import unauthorized

_REFRESH_SECONDS = 1.0


class Clients:
    """Token → actor. The folder is read again at most once a second, so a rotated Secret takes effect."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._digests: dict[str, bytes] = {}
        self._read_at = float("-inf")

    @property
    def count(self) -> int:
        """How many actors are known."""
        self._refresh()
        return len(self._digests)

    def authenticate(self, authorization: str) -> str:
        """The actor behind an Authorization header. Raises StatusError 401.

        Every known token is compared, in constant time, so the duration tells nothing.
        """
        self._refresh()
        scheme, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
        found = ""
        for actor, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = actor
        if scheme.lower() != "bearer" or not token.strip() or not found:
            raise unauthorized()
        return found

    def secret(self, actor: str) -> str | None:
        """The secret access key of an actor for the object store: its token's SHA-256 in hex; None when the
        actor is unknown."""
        self._refresh()
        digest = self._digests.get(actor)
        return None if digest is None else digest.hex()

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        if now - self._read_at < _REFRESH_SECONDS:
            return
        self._read_at = now
        try:
            files = sorted(p for p in self._folder.iterdir() if not p.name.startswith(".") and p.is_file())
            tokens = {file.name: file.read_bytes().strip() for file in files}
        except OSError:
            tokens = {}
        self._digests = {actor: hashlib.sha256(token).digest() for actor, token in tokens.items() if token}
