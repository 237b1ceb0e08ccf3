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

from lab.errors import NotReadyError
from lab.kube.exec_plugin import EXTENSION, STORE, Credentials, ExecPlugin, read_plugin
from lab.kube.kubeconfig_files import NOT_ONE, entry, not_a_kubeconfig, read_kubeconfig
from lab.kube.proxies import USABLE, Proxy, environment_proxy
from lab.kube.tls import client_context

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token, CA and namespace."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an API server. `token_file` is read again for every request, as it may be rotated.

    `client_certificate` is (certificate, key) in PEM. With `insecure` nothing is verified. `tls_server_name`:
    the name that the server's certificate is to have, instead of the one in `server`. `proxy_url`: an HTTP
    proxy that the kubeconfig names. `plugin`: the program from which credentials come, where there are no
    others.
    """

    server: str
    ca_pem: bytes = b""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"
    client_certificate: tuple[bytes, bytes] | None = None
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    plugin: ExecPlugin | None = None

    def proxy(self) -> Proxy | None:
        """What requests go through now: the kubeconfig's proxy, else the one of the environment.

        Raises UsageError for one of the environment that cannot be used.
        """
        return Proxy.of_kubeconfig(self.proxy_url) if self.proxy_url else environment_proxy(self.server)

    def bearer(self) -> str:
        """The token to send now; empty when there is none. With a plugin it may take as long as its program.

        Raises NotReadyError when that gives no credentials.
        """
        if self.token:
            return self.token
        if self.token_file:
            return Path(self.token_file).read_text().strip()
        return self.credentials().token

    def credentials(self) -> Credentials:
        """What the plugin gives now, or the client's certificate. Raises NotReadyError as `bearer` does."""
        if self.plugin is not None:
            return STORE.get(self.plugin)
        return Credentials(certificate=self.client_certificate)

    def renew(self, refused: Credentials) -> bool:
        """Whether there are other credentials than those that an API server did not accept."""
        return self.plugin is not None and STORE.renew(self.plugin, refused) != refused

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, or None for plain http."""
        if not self.server.startswith("https"):
            return None
        return client_context(
            self.ca_pem,
            self.credentials().certificate,
            server_name=self.tls_server_name,
            insecure=self.insecure,
        )


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
    but to that of a token that is rotated and to a plugin's program."""
    config = kubeconfig_dict(
        connection.server, connection.ca_pem, connection.token, namespace=connection.namespace
    )
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    if connection.token_file:
        user.update(tokenFile=str(Path(connection.token_file).absolute()))
    if not connection.token:
        del user["token"]
    if connection.client_certificate:
        certificate, key = (base64.b64encode(part).decode() for part in connection.client_certificate)
        user.update({"client-certificate-data": certificate, "client-key-data": key})
    if connection.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if connection.tls_server_name:
        cluster["tls-server-name"] = connection.tls_server_name
    if connection.proxy_url:
        cluster["proxy-url"] = connection.proxy_url
    if connection.plugin is not None:
        user["exec"] = connection.plugin.entry()
        told = json.loads(connection.plugin.cluster or "{}")
        if "config" in told:
            cluster["extensions"] = [{"name": EXTENSION, "extension": told["config"]}]
    _write(path, config)


def load_kubeconfig(given: Path | str, context: str = "") -> Connection:
    """The connection of that context of the file, or of its current one. Files of a list, as KUBECONFIG may
    have it, are merged.

    Raises NotReadyError when the file is absent and ConfigError when it cannot be understood or used.
    """
    config = read_kubeconfig(given)
    try:
        return _connection(config, context)
    except NOT_ONE as error:
        raise not_a_kubeconfig(given, error) from error
    except OSError as error:
        raise NotReadyError(
            f"the kubeconfig {given} names a file that cannot be read: {error.filename}: {error.strerror}",
            hint="paths in a kubeconfig are relative to its own folder",
        ) from error


def connection_from_environment() -> Connection:
    """The file or files named by KUBECONFIG, else the in-cluster files.

    Raises NotReadyError when there is neither.
    """
    named = os.environ.get("KUBECONFIG", "")
    if named.strip(os.pathsep):
        return load_kubeconfig(named)
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


_REFUSED = {
    "username": "a user with a password cannot be used, Kubernetes 1.19 removed that: take a token, a"
    " certificate or exec",
    "auth-provider": "a user with 'auth-provider' cannot be used, kubectl 1.26 removed it for clouds: let the"
    " program in its place (gke-gcloud-auth-plugin, kubelogin) write the user anew, with exec",
    "as": "a user that impersonates another ('as') cannot be used: take that user's own credentials",
}
"""Keys of a user that the lab does not follow, and why."""


def _connection(config: dict[str, Any], name: str) -> Connection:
    context = entry(config, "contexts", name or config["current-context"])
    cluster = entry(config, "clusters", context["cluster"])
    user = entry(config, "users", context["user"])
    if not cluster.get("server"):
        raise ValueError(f"the cluster {context['cluster']!r} has no server")
    proxy = str(cluster.get("proxy-url") or "")
    if proxy and proxy.partition("://")[0] not in USABLE:
        raise ValueError(f"proxy-url is {proxy!r}, and only proxies of http and https can be used")
    pair = (_data(user, "client-certificate"), _data(user, "client-key"))
    if any(pair) and not all(pair):
        raise ValueError("the user has a client-certificate or a client-key, not both")
    if b"ENCRYPTED" in pair[1]:
        raise ValueError("the client-key is encrypted: openssl pkey -in KEY -out FILE writes it plainly")
    token, token_file = str(user.get("token") or ""), str(user.get("tokenFile") or "")
    known = bool(token or token_file or all(pair))
    for key, why in _REFUSED.items():
        if user.get(key) and (key == "as" or not known):
            raise ValueError(why)
    ca = _data(cluster, "certificate-authority")
    program = user.get("exec")
    return Connection(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=ca,
        token=token,
        token_file="" if token else token_file,
        namespace=str(context.get("namespace") or "default"),
        client_certificate=pair if all(pair) else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        proxy_url=proxy,
        plugin=read_plugin(program, _told(cluster, ca)) if program and not known else None,
    )


def _told(cluster: dict[str, Any], ca: bytes) -> dict[str, Any]:
    """What a plugin is told of the cluster when the kubeconfig has provideClusterInfo."""
    keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
    told = {key: cluster[key] for key in keys if cluster.get(key)}
    if ca:
        told["certificate-authority-data"] = base64.b64encode(ca).decode()
    for found in cluster.get("extensions") or ():
        if found["name"] == EXTENSION:
            told["config"] = found["extension"]
    return told


def _data(body: dict[str, Any], key: str) -> bytes:
    if body.get(f"{key}-data"):
        return base64.b64decode(body[f"{key}-data"])
    return Path(body[key]).read_bytes() if body.get(key) else b""
