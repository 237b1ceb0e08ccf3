"""The engine's own use of the Kubernetes API: the official client's dynamic side, with the lab's errors."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import kubernetes.dynamic
from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError
from urllib3 import make_headers
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.exceptions import ProxyError as ProxyFailure

from lab.core.namespaces import NO_PREFIX, Namespaces
from lab.engine.renaming import renamed
from lab.errors import LabError, NotReadyError, ProviderError
from lab.kube.kubeconfig import Connection, load_kubeconfig
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.proxies import WAY_OUT, used_proxy

_dynamic: Any = kubernetes.dynamic  # it carries no types
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_OVER = ("Succeeded", "Failed")


@contextmanager
def _lab_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, DynamicApiError) as error:
        raise _refusal(doing, error) from error
    except ResourceNotFoundError as error:
        raise LabError(f"{doing}: {error}") from error
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise  # the client could not keep what it discovered; that is no fault of the server
        if isinstance(error, MaxRetryError) and isinstance(error.reason, ProxyFailure):
            raise _not_through(doing, error, error.reason) from error
        raise NotReadyError(
            f"{doing}: the API server does not answer ({type(error).__name__})",
            hint="lab status shows what runs; lab up brings a lab back",
        ) from error


def _not_through(doing: str, error: MaxRetryError, why: ProxyFailure) -> NotReadyError:
    pool: Any = error.pool
    server = str(error.url) if pool.scheme == "http" else f"https://{pool.host}:{pool.port}"
    proxy = used_proxy(server, str(pool.proxy))
    return NotReadyError(
        f"{doing}: the proxy {proxy} does not let it through: {why.original_error}", hint=WAY_OUT
    )


def _refusal(doing: str, error: Any) -> LabError:
    if error.status == 401:  # no NotReadyError: it does not pass by waiting
        return ProviderError(
            f"{doing}: the API server does not accept the kubeconfig's credentials any more",
            hint="they may have expired: get new ones the way you got these",
        )
    try:
        said = str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.body)
    return LabError(f"{doing}: the API server answered {error.status} {error.reason}: {said}")


def api_client(kubeconfig: Path) -> Any:
    """The official client for a kubeconfig. It needs the certificates as files: they are put beside the
    kubeconfig, where they go with the lab, not into the system's folder for temporary files.

    Raises NotReadyError when a program that the kubeconfig names gives no credentials.
    """
    connection = load_kubeconfig(kubeconfig)
    if connection.plugin is not None:
        return _Renewing(connection, kubeconfig.parent)
    return ApiClient(_configuration(connection, kubeconfig.parent))


def _configuration(connection: Connection, folder: Path) -> Any:
    """The official client's settings for a connection. Its own reading of kubeconfigs knows neither proxies
    nor programs whose credentials expire."""
    found = connection.credentials()
    settings = Configuration()
    settings.host = connection.server
    settings.verify_ssl = not connection.insecure
    settings.tls_server_name = connection.tls_server_name or None
    _through_proxy(settings, connection)
    if connection.ca_pem:
        settings.ssl_ca_cert = _beside(folder, "ca.crt", connection.ca_pem)
    if found.certificate:
        settings.cert_file = _beside(folder, "client.crt", found.certificate[0])
        settings.key_file = _beside(folder, "client.key", found.certificate[1])

    def show(now: Any) -> None:
        if bearer := connection.bearer():
            now.api_key["authorization"] = f"Bearer {bearer}"

    show(settings)
    settings.refresh_api_key_hook = show
    return settings


def _through_proxy(settings: Any, connection: Connection) -> None:
    """By the lab's rules: the official client's own put loopback addresses behind a proxy too."""
    proxy = connection.proxy()
    settings.proxy, settings.no_proxy = (proxy.url if proxy else None), None
    if proxy and proxy.credentials:
        settings.proxy_headers = make_headers(proxy_basic_auth=unquote(proxy.credentials))


def _beside(folder: Path, name: str, content: bytes) -> str:
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
        file.write(content)
    os.replace(temporary, folder / name)
    return str(folder / name)


class _Renewing(ApiClient):  # type: ignore[misc]
    """Asks the program for other credentials when the server does not accept those that it gave."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        super().__init__(_configuration(connection, folder))
        self._connection, self._folder = connection, folder

    def call_api(self, *given: Any, **more: Any) -> Any:
        try:
            return self._call(*given, **more)
        except NotReadyError as error:  # it does not pass by waiting, as what is not ready does
            raise ProviderError(error.message, hint=error.hint) from error

    def _call(self, *given: Any, **more: Any) -> Any:
        used = self._connection.credentials()
        try:
            return super().call_api(*given, **more)
        except ApiException as error:
            if error.status != 401 or not self._connection.renew(used):
                raise
        self.configuration = _configuration(self._connection, self._folder)
        self.rest_client = RESTClientObject(self.configuration)
        return super().call_api(*given, **more)


class Kube:
    """A handful of operations on one lab. Objects are plain dicts, as JSON has them. Namespaces have their
    plain names, in arguments and answers, whatever the cluster calls them.

    Every failure is a LabError that says what was being done.
    """

    def __init__(self, kubeconfig: Path, namespaces: Namespaces = NO_PREFIX) -> None:
        self._namespaces = namespaces
        with _lab_errors("reaching the cluster"):
            self._api: Any = api_client(kubeconfig)
            # The client keeps what it discovers; beside the kubeconfig it goes when the lab goes.
            self._dynamic: Any = _dynamic.DynamicClient(
                self._api, cache_file=str(kubeconfig.with_name("discovery.json"))
            )
        self._core: Any = CoreV1Api(self._api)

    def create(self, manifest: KubeObject) -> None:
        """Create one object from its manifest."""
        with _lab_errors(f"creating {manifest.get('kind')} {namespace_of(manifest)}/{name_of(manifest)}"):
            kind = self._dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
            manifest = renamed(manifest, self._namespaces)
            kind.create(body=manifest, namespace=namespace_of(manifest) or None)

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the cluster knows a kind."""
        with _lab_errors("asking what the cluster serves"):
            try:
                return bool(self._dynamic.resources.get(api_version=api_version, kind=kind))
            except ResourceNotFoundError:
                return False

    def everywhere(self, kind: str, api_version: str = "v1") -> list[KubeObject]:
        """All objects of a kind, also those that are not the lab's, with the cluster's names."""
        with _lab_errors(f"listing {kind} objects of all namespaces"):
            return list(self._kind(kind, api_version).get().to_dict()["items"])

    def of_no_namespace(self, kind: str, api_version: str, name: str) -> KubeObject:
        """An object that lies in no namespace, with the cluster's names."""
        with _lab_errors(f"reading {kind} {name}"):
            return dict(self._kind(kind, api_version).get(name=name).to_dict())

    def config_map(self, namespace: str, name: str) -> dict[str, str]:
        """The data of a ConfigMap; empty when there is none."""
        with _lab_errors(f"reading ConfigMap {namespace}/{name}"):
            try:
                real = self._namespaces.real(namespace)
                found = self._kind("ConfigMap").get(name=name, namespace=real).to_dict()
            except DynamicApiError as error:
                if error.status == 404:
                    return {}
                raise
        return dict(found.get("data") or {})

    def put_config_map(
        self, namespace: str, name: str, data: dict[str, str], binary: dict[str, str] | None = None
    ) -> None:
        """Replace all data of an existing ConfigMap. Its labels stay."""
        content = {"/data": data, "/binaryData": binary or {}}
        with _lab_errors(f"writing ConfigMap {namespace}/{name}"):
            self._kind("ConfigMap").patch(
                body=[{"op": "add", "path": path, "value": value} for path, value in content.items()],
                name=name,
                namespace=self._namespaces.real(namespace),
                content_type="application/json-patch+json",
            )

    def merge_config_map(self, namespace: str, name: str, data: dict[str, str]) -> None:
        """Change some keys of a ConfigMap and leave the others."""
        with _lab_errors(f"writing ConfigMap {namespace}/{name}"):
            self._kind("ConfigMap").patch(
                body={"data": data},
                name=name,
                namespace=self._namespaces.real(namespace),
                content_type="application/merge-patch+json",
            )

    def cluster_ips(self) -> dict[str, str]:
        """The cluster IP of each of the lab's Services, by `namespace/name`."""
        with _lab_errors("listing Services"):
            found = self._all("Service")
        return {f"{namespace_of(s)}/{name_of(s)}": s["spec"]["clusterIP"] for s in found}

    def deployments(self) -> list[KubeObject]:
        """The lab's Deployments, in namespace and name order."""
        with _lab_errors("listing Deployments"):
            return self._all("Deployment", "apps/v1")

    def pods(self, namespace: str, app: str) -> list[KubeObject]:
        """Pods with the label app=…, without those that have ended for good: one that was evicted stays."""
        with _lab_errors(f"listing pods of {namespace}/{app}"):
            real = self._namespaces.real(namespace)
            found = self._kind("Pod").get(namespace=real, label_selector=f"app={app}")
        return [p for p in found.to_dict()["items"] if (p.get("status") or {}).get("phase") not in _OVER]

    def restarts(self) -> dict[str, int]:
        """How often containers of the lab's pods were started again, by `namespace/app`."""
        with _lab_errors("listing pods"):
            found = self._all("Pod")
        counts: dict[str, int] = {}
        for pod in found:
            key = f"{namespace_of(pod)}/{(pod['metadata'].get('labels') or {}).get('app', '')}"
            statuses = (pod.get("status") or {}).get("containerStatuses") or ()
            counts[key] = counts.get(key, 0) + sum(s.get("restartCount", 0) for s in statuses)
        return counts

    def pod_log(
        self, namespace: str, pod: str, *, tail_lines: int | None = None, previous: bool = False
    ) -> str:
        """The log of a pod's first container."""
        with _lab_errors(f"reading the log of {namespace}/{pod}"):
            answer: Any = self._core.read_namespaced_pod_log(
                pod,
                self._namespaces.real(namespace),
                tail_lines=tail_lines,
                previous=previous,
                _preload_content=False,
            )
            return bytes(answer.data).decode(errors="replace")  # some versions of the client give a repr

    def patch_deployment(self, namespace: str, name: str, patch: KubeObject) -> None:
        """Strategic-merge patch of a Deployment."""
        with _lab_errors(f"changing Deployment {namespace}/{name}"):
            self._kind("Deployment", "apps/v1").patch(
                body=patch,
                name=name,
                namespace=self._namespaces.real(namespace),
                content_type="application/strategic-merge-patch+json",
            )

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()

    def _all(self, kind: str, api_version: str = "v1") -> list[KubeObject]:
        """All of the lab's objects of a kind. In a cluster of its own that is one question, and not three."""
        resource = self._kind(kind, api_version)
        own = self._namespaces.all
        pages = (
            [resource.get(namespace=name) for name in own] if self._namespaces.prefix else [resource.get()]
        )
        found = []
        for item in (item for page in pages for item in page.to_dict()["items"]):
            if namespace_of(item) in own:
                item["metadata"]["namespace"] = self._namespaces.plain(namespace_of(item))
                found.append(item)
        return found

    def _kind(self, kind: str, api_version: str = "v1") -> Any:
        return self._dynamic.resources.get(api_version=api_version, kind=kind)
