"""A client that sends what a well-behaved one would not."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from localkube_process import Served

from lab.kube.kubeconfig import load_kubeconfig

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
JSON = "application/json"
YAML = "application/yaml"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    body: bytes

    @property
    def status(self) -> dict[str, Any]:
        """The Status in it."""
        read: dict[str, Any] = json.loads(self.body)
        return read


class Wire:
    """Requests over TLS, one connection each, as the administrator unless another token is given."""

    def __init__(self, served: Served) -> None:
        connection = load_kubeconfig(served.kubeconfig)
        self.host, _, port = served.server.removeprefix("https://").rpartition(":")
        self.port = int(port)
        self.token = connection.token or ""
        self.context = ssl.create_default_context(cadata=(connection.ca_pem or b"").decode())

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        content_type: str = JSON,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, its path sent as it is."""
        bearer = self.token if token is None else token
        sent = {"Content-Type": content_type} | (headers or {})
        if bearer:
            sent["Authorization"] = f"Bearer {bearer}"
        connection = http.client.HTTPSConnection(
            self.host, self.port, context=self.context, timeout=_PATIENCE
        )
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def connect(self) -> ssl.SSLSocket:
        """A bare connection."""
        plain = socket.create_connection((self.host, self.port), timeout=_PATIENCE)
        return self.context.wrap_socket(plain, server_hostname=self.host)

    def say(self, text: bytes) -> bytes:
        """Send bytes as they are; the first of what comes back."""
        with self.connect() as connection:
            connection.sendall(text)
            return connection.recv(4096)
