"""Credentials from a program: the `exec` of a kubeconfig's user, as client-go and kubectl run it.

Such a program (`aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`) is started without a shell, told
in KUBERNETES_EXEC_INFO what is wanted, and prints an ExecCredential. What it gives is kept in this process
until shortly before it expires, or until an API server does not accept it.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.core.clock import Clock, SystemClock
from lab.errors import NotReadyError

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
MODES = ("Never", "IfAvailable", "Always")
EXTENSION = f"{GROUP}/exec"
"""The extension of a cluster that is handed to the program as `spec.cluster.config`."""
MARGIN = timedelta(seconds=10)
"""How long before they expire credentials are renewed; at most a tenth of their life."""
SECONDS = 60.0
"""How long a program may take that asks nobody anything."""
_TAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """How to start the program. command: a name to be found in PATH, or a path. cluster: what it is told of
    the cluster, as JSON; empty when the kubeconfig does not ask for that."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = VERSIONS[0]
    interactive_mode: str = "IfAvailable"
    install_hint: str = ""
    cluster: str = ""

    def entry(self) -> dict[str, Any]:
        """It as a kubeconfig has it."""
        found: dict[str, Any] = {
            "apiVersion": self.api_version,
            "command": self.command,
            "args": list(self.args),
            "env": [{"name": name, "value": value} for name, value in self.env],
            "interactiveMode": self.interactive_mode,
            "provideClusterInfo": bool(self.cluster),
        }
        return found | ({"installHint": self.install_hint} if self.install_hint else {})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a program gave: a token, or a client's certificate and key in PEM, or both."""

    token: str = ""
    certificate: tuple[bytes, bytes] | None = None
    expires: datetime | None = None


def read_plugin(entry: dict[str, Any], cluster: dict[str, Any]) -> ExecPlugin:
    """The program of a user's `exec`. cluster: what it is told of the cluster, if it is to be told.

    Raises ValueError for one that client-go would not run either.
    """
    version = str(entry.get("apiVersion") or "")
    if version not in VERSIONS:
        raise ValueError(
            f"the user's exec has the apiVersion {version!r}, and Kubernetes knows {' and '.join(VERSIONS)}:"
            " update its program, and let it write the user anew"
        )
    mode = entry.get("interactiveMode") or ("IfAvailable" if version == VERSIONS[1] else "")
    if mode not in MODES:
        raise ValueError(f"the user's exec has the interactiveMode {mode!r}, not one of {', '.join(MODES)}")
    command = str(entry.get("command") or "")
    if not command:
        raise ValueError("the user's exec has no command")
    return ExecPlugin(
        command=command,
        args=tuple(str(argument) for argument in entry.get("args") or ()),
        env=tuple((str(pair["name"]), str(pair["value"])) for pair in entry.get("env") or ()),
        api_version=version,
        interactive_mode=mode,
        install_hint=str(entry.get("installHint") or ""),
        cluster=json.dumps(cluster, sort_keys=True) if entry.get("provideClusterInfo") else "",
    )


@dataclass(slots=True)
class _Held:
    lock: threading.Lock = field(default_factory=threading.Lock)
    credentials: Credentials | None = None
    renew_at: datetime | None = None


class CredentialStore:
    """The credentials of this process, by program. A program runs once at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[ExecPlugin, _Held] = {}
        self._lock = threading.Lock()

    def get(self, plugin: ExecPlugin) -> Credentials:
        """Credentials that have not expired; it may take as long as the program.

        Raises NotReadyError when the program is missing, fails or says nothing that can be used.
        """
        held = self._of(plugin)
        with held.lock:
            due = held.renew_at is not None and self._clock.now() >= held.renew_at
            if held.credentials is None or due:
                self._fill(plugin, held)
            assert held.credentials is not None
            return held.credentials

    def renew(self, plugin: ExecPlugin, refused: Credentials) -> Credentials:
        """Other credentials than those that were refused, unless somebody has renewed them already."""
        held = self._of(plugin)
        with held.lock:
            if held.credentials is None or held.credentials == refused:
                self._fill(plugin, held)
            assert held.credentials is not None
            return held.credentials

    def _of(self, plugin: ExecPlugin) -> _Held:
        with self._lock:
            return self._held.setdefault(plugin, _Held())

    def _fill(self, plugin: ExecPlugin, held: _Held) -> None:
        held.credentials = held.renew_at = None
        found = ask(plugin)
        if found.expires is not None:
            life = max(found.expires - self._clock.now(), timedelta())
            held.renew_at = found.expires - min(MARGIN, life / 10)
        held.credentials = found


STORE = CredentialStore(SystemClock())
"""Of every connection in this process."""


def ask(plugin: ExecPlugin) -> Credentials:
    """Run the program once. Raises NotReadyError with what it said, and its way out."""
    name = Path(plugin.command).name
    program = shutil.which(plugin.command)
    if program is None:
        raise NotReadyError(
            f"the kubeconfig's user needs the program {plugin.command}, and there is none",
            hint=plugin.install_hint or f"install {name} and have it in PATH: credentials come from it",
        )
    interactive = _interactive(plugin)
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster:
        spec["cluster"] = json.loads(plugin.cluster)
    info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    try:
        ran = subprocess.run(
            [program, *plugin.args],
            env={**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if interactive else subprocess.PIPE,
            timeout=None if interactive else SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise _useless(plugin, f"did not end within {SECONDS:g} s", late.stderr) from late
    except OSError as error:
        raise _useless(plugin, f"cannot start: {error.strerror or error}", b"") from error
    if ran.returncode != 0:
        raise _useless(plugin, f"ended with exit code {ran.returncode}", ran.stderr)
    try:
        return _read(plugin, json.loads(ran.stdout))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        why = str(error) if type(error) is ValueError else "printed no ExecCredential"
        raise _useless(plugin, why, ran.stderr) from None  # what it printed may hold a secret


def _interactive(plugin: ExecPlugin) -> bool:
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not terminal:
        raise NotReadyError(
            f"{plugin.command} wants to ask somebody, and standard input is no terminal",
            hint="interactiveMode: IfAvailable lets it run without, if it can",
        )
    return terminal and plugin.interactive_mode != "Never"


def _read(plugin: ExecPlugin, answer: dict[str, Any]) -> Credentials:
    if answer.get("kind") != "ExecCredential":
        raise ValueError(f"printed a {answer.get('kind')!r}, no ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        said = answer.get("apiVersion")
        raise ValueError(f"speaks {said!r}, and the kubeconfig has {plugin.api_version} for it")
    status = answer.get("status") or {}
    token = str(status.get("token") or "")
    pair = tuple(str(status.get(key) or "") for key in ("clientCertificateData", "clientKeyData"))
    if any(pair) and not all(pair):
        raise ValueError("gave a certificate or a key, not both")
    if not token and not all(pair):
        raise ValueError("gave neither a token nor a certificate with its key")
    until = status.get("expirationTimestamp")
    try:
        expires = datetime.fromisoformat(str(until)).astimezone(UTC) if until else None
    except ValueError:
        raise ValueError(f"gave an expirationTimestamp that is no time: {until!r}") from None
    certificate = (pair[0].encode(), pair[1].encode()) if all(pair) else None
    return Credentials(token, certificate, expires)


def _useless(plugin: ExecPlugin, why: str, said: bytes | None) -> NotReadyError:
    tail = (said or b"").decode(errors="replace").strip().splitlines()[-_TAIL_LINES:]
    return NotReadyError(
        f"{Path(plugin.command).name}, from which the kubeconfig's credentials come, {why}"
        + "".join(f"\n  {line}" for line in tail),
        hint=plugin.install_hint or f"run it by hand: {' '.join((plugin.command, *plugin.args))}",
    )
