"""Kubeconfig files: writing the lab's, reading anybody's. JSON is written, which is YAML too."""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import ConfigError, NotReadyError

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token, CA and namespace."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an API server. `token_file` is read again for every request, as it may be rotated.

    `client_certificate` is (certificate, key) in PEM. With `insecure` nothing is verified.
    """

    server: str
    ca_pem: bytes = b""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"
    client_certificate: tuple[bytes, bytes] | None = None
    insecure: bool = False

    def bearer(self) -> str:
        """The token to send now; empty when there is none."""
        if self.token:
            return self.token
        return Path(self.token_file).read_text().strip() if self.token_file else ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, or None for plain http."""
        if not self.server.startswith("https"):
            return None
        context = ssl.create_default_context(cadata=self.ca_pem.decode() if self.ca_pem else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            _load_client_certificate(context, *self.client_certificate)
        return context


def kubeconfig_dict(
    server: str, ca_pem: bytes, token: str, *, namespace: str = "default", user: str = "lab"
) -> dict[str, Any]:
    """A kubeconfig with one cluster, user and context, all named `user`."""
    cluster: dict[str, Any] = {"server": server}
    if ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": user,
        "clusters": [{"name": user, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": user, "context": {"cluster": user, "user": user, "namespace": namespace}}],
        "preferences": {},
    }


def write_kubeconfig(
    path: Path, server: str, ca_pem: bytes, token: str, *, namespace: str = "default", user: str = "lab"
) -> None:
    """Write a kubeconfig atomically, readable by its owner only."""
    _write(path, kubeconfig_dict(server, ca_pem, token, namespace=namespace, user=user))


def _write(path: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=1)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:  # mkstemp makes it 0600
        file.write(text + "\n")
    os.replace(temporary, path)


def write_connection(path: Path, connection: Connection) -> None:
    """Write a connection as a kubeconfig of its own, readable by its owner only. It refers to no other file,
    but to that of a token that is rotated."""
    config = kubeconfig_dict(
        connection.server, connection.ca_pem, connection.token, namespace=connection.namespace
    )
    user = config["users"][0]["user"]
    if connection.token_file:
        user.update(tokenFile=str(Path(connection.token_file).absolute()))
    if not connection.token:
        del user["token"]
    if connection.client_certificate:
        certificate, key = (base64.b64encode(part).decode() for part in connection.client_certificate)
        user.update({"client-certificate-data": certificate, "client-key-data": key})
    if connection.insecure:
        config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    _write(path, config)


def load_kubeconfig(path: Path, context: str = "") -> Connection:
    """The connection of that context of the file, or of its current one.

    Raises NotReadyError when the file is absent and ConfigError when it cannot be understood.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise NotReadyError(
            f"cannot read the kubeconfig {path}: {error.strerror}", hint="is the lab up?"
        ) from error
    try:
        return _connection(_parse(text), path.parent, context)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is not a kubeconfig that can be used: {error}") from error


def connection_from_environment() -> Connection:
    """The file named by KUBECONFIG, else the in-cluster files.

    Raises NotReadyError when there is neither.
    """
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    if named:
        return load_kubeconfig(Path(named))
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (IN_CLUSTER / "token").exists():
        return Connection(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            ca_pem=(IN_CLUSTER / "ca.crt").read_bytes(),
            token_file=str(IN_CLUSTER / "token"),
            namespace=(IN_CLUSTER / "namespace").read_text().strip() or "default",
        )
    raise NotReadyError(
        "no way to a Kubernetes API: KUBECONFIG is not set and this is no pod with a ServiceAccount",
        hint="set KUBECONFIG, or mount a ServiceAccount token",
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        import yaml  # only for files that others wrote; it costs start time

        try:
            return dict(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error


def _connection(config: dict[str, Any], folder: Path, name: str) -> Connection:
    context = _named(config, "contexts", name or config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"]).get("user") or {}
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise ValueError(f"users with {unsupported!r} are not supported; use a token")
    certificate = _data(user, "client-certificate", folder)
    key = _data(user, "client-key", folder)
    token_file = user.get("tokenFile") or ""
    return Connection(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=_data(cluster, "certificate-authority", folder),
        token=str(user.get("token") or ""),
        token_file=str(folder / token_file) if token_file else "",
        namespace=str(context.get("namespace") or "default"),
        client_certificate=(certificate, key) if certificate and key else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _named(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry["name"] == name:
            return dict(entry)
    raise ValueError(f"{section} has no {name!r}")


def _data(entry: dict[str, Any], key: str, folder: Path) -> bytes:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    return (folder / str(entry[key])).read_bytes() if entry.get(key) else b""


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    descriptor, path = tempfile.mkstemp(prefix="lab-client-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
