"""Gives every namespace its default ServiceAccount and the cluster's root certificate.

Source: pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import Context, Controller, deleting
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

ACCOUNTS = builtin("ServiceAccount")
CONFIGMAPS = builtin("ConfigMap")
ROOT_CA = "kube-root-ca.crt"
NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
    "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions "
    "of Kubernetes clusters."
)


class AccountController(Controller):
    """Namespace → ServiceAccount `default`, ConfigMap `kube-root-ca.crt`."""

    name = "serviceaccount-controller"
    listens = frozenset({"namespaces", "serviceaccounts", "configmaps"})

    def __init__(self, context: Context, *, ca_pem: str = "") -> None:
        super().__init__(context)
        self._ca_pem = ca_pem

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "namespaces":
            return [("", name_of(event.object))] if event.type != "DELETED" else ()
        ours = "default" if resource.plural == "serviceaccounts" else ROOT_CA
        return [("", namespace_of(event.object))] if name_of(event.object) == ours else ()

    def reconcile(self, key: Key) -> float | None:
        namespace = self.cache.get("namespaces", *key)
        if namespace is None or deleting(namespace):
            return None
        name = key[1]
        if self.cache.get("serviceaccounts", name, "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self.registry.create(ACCOUNTS, name, account)
        if self._ca_pem:
            self._publish(name)
        return None

    def _publish(self, namespace: str) -> None:
        wanted = {"ca.crt": self._ca_pem}
        present = self.cache.get("configmaps", namespace, ROOT_CA)
        if present is None:
            metadata = {"name": ROOT_CA, "annotations": {"kubernetes.io/description": NOTE}}
            bundle = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": wanted}
            self.registry.create(CONFIGMAPS, namespace, bundle)
        elif present.get("data") != wanted:
            self.patch(CONFIGMAPS, present, {"data": wanted})
