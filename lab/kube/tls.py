"""TLS settings of a client of an API server."""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import Any

from lab.errors import ConfigError


class _NamedContext(ssl.SSLContext):
    """Asks every server for a certificate of one name, whatever the address by which it is reached."""

    name = ""

    def wrap_bio(self, *args: Any, **more: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **more | {"server_hostname": self.name})

    def wrap_socket(self, *args: Any, **more: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **more | {"server_hostname": self.name})


def client_context(
    ca_pem: bytes = b"",
    certificate: tuple[bytes, bytes] | None = None,
    *,
    server_name: str = "",
    insecure: bool = False,
) -> ssl.SSLContext:
    """A context that trusts that CA, or the system's. certificate: the client's own and its key, in PEM.
    server_name: the name that the server's certificate is to have, if it is not that of the address.
    With `insecure` nothing is verified.

    Raises ConfigError for a certificate or key that is none.
    """
    try:
        context = _trusting(ca_pem, server_name)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"the certificate-authority of the kubeconfig is no certificate: {error}"
        ) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        try:
            _load(context, *certificate)
        except ssl.SSLError as error:
            raise ConfigError(f"the client's certificate and key do not make a pair: {error}") from error
    return context


def _trusting(ca_pem: bytes, server_name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem.decode() if ca_pem else None)
    if server_name:
        plain, context = context, _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.name = server_name
        context.verify_flags = plain.verify_flags
        if ca_pem:
            context.load_verify_locations(cadata=ca_pem.decode())
        else:
            context.load_default_certs()
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    descriptor, path = tempfile.mkstemp(prefix="lab-client-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
