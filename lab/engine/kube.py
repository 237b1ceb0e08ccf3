"""The engine's own use of the Kubernetes API: the official client, with the lab's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import FailToCreateError
from urllib3.exceptions import HTTPError

from lab.errors import LabError, NotReadyError
from lab.kube.objects import KubeObject, name_of, namespace_of

NAMESPACES = ("shop", "lab-system", "automation")


@contextmanager
def _lab_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise LabError(
            f"{doing}: the API server answered {error.status} {error.reason}: {error.body}"
        ) from error
    except FailToCreateError as error:
        raise LabError(f"{doing}: {str(error).strip()}") from error
    except (HTTPError, OSError) as error:
        raise NotReadyError(
            f"{doing}: the API server does not answer ({type(error).__name__})",
            hint="lab status shows what runs; lab up brings a lab back",
        ) from error


class Kube:
    """A handful of operations on one cluster. Every failure is a LabError that says what was being done."""

    def __init__(self, kubeconfig: Path) -> None:
        self.api: client.ApiClient = config.new_client_from_config(config_file=str(kubeconfig))
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)

    def create(self, manifest: KubeObject) -> None:
        """Create one object from its manifest."""
        with _lab_errors(f"creating {manifest.get('kind')} {namespace_of(manifest)}/{name_of(manifest)}"):
            utils.create_from_dict(self.api, manifest)

    def config_map(self, namespace: str, name: str) -> dict[str, str]:
        """The data of a ConfigMap; empty when there is none."""
        with _lab_errors(f"reading ConfigMap {namespace}/{name}"):
            try:
                return dict(self.core.read_namespaced_config_map(name, namespace).data or {})
            except ApiException as error:
                if error.status == 404:
                    return {}
                raise

    def put_config_map(
        self, namespace: str, name: str, data: dict[str, str], binary: dict[str, str] | None = None
    ) -> None:
        """Create a ConfigMap or replace all its data."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": data,
            "binaryData": binary or {},
        }
        with _lab_errors(f"writing ConfigMap {namespace}/{name}"):
            try:
                self.core.replace_namespaced_config_map(name, namespace, body)
            except ApiException as error:
                if error.status != 404:
                    raise
                self.core.create_namespaced_config_map(namespace, body)

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """The data of a Secret, still base64. Raises LabError when there is none."""
        with _lab_errors(f"reading Secret {namespace}/{name}"):
            return dict(self.core.read_namespaced_secret(name, namespace).data or {})

    def cluster_ip(self, namespace: str, service: str) -> str:
        """The cluster IP of a Service."""
        with _lab_errors(f"reading Service {namespace}/{service}"):
            return str(self.core.read_namespaced_service(service, namespace).spec.cluster_ip)

    def deployments(self) -> list[Any]:
        """The lab's Deployments, in namespace and name order."""
        with _lab_errors("listing Deployments"):
            found = self.apps.list_deployment_for_all_namespaces().items
        return [d for d in found if d.metadata.namespace in NAMESPACES]

    def pods(self, namespace: str, app: str) -> list[Any]:
        """Pods with the label app=…"""
        with _lab_errors(f"listing pods of {namespace}/{app}"):
            return list(self.core.list_namespaced_pod(namespace, label_selector=f"app={app}").items)

    def pod_log(
        self, namespace: str, pod: str, *, tail_lines: int | None = None, previous: bool = False
    ) -> str:
        """The log of a pod's first container."""
        with _lab_errors(f"reading the log of {namespace}/{pod}"):
            return str(
                self.core.read_namespaced_pod_log(pod, namespace, tail_lines=tail_lines, previous=previous)
            )

    def patch_deployment(self, namespace: str, name: str, patch: KubeObject) -> None:
        """Strategic-merge patch of a Deployment."""
        with _lab_errors(f"changing Deployment {namespace}/{name}"):
            self.apps.patch_namespaced_deployment(name, namespace, patch)

    def close(self) -> None:
        """Give the connections back."""
        self.api.close()
