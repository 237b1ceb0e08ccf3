"""The lab's objects that no file can hold: secrets, and what depends on an address or the time scale."""

from __future__ import annotations

import base64
import hashlib
import secrets

import yaml

from lab.core.namespaces import NO_PREFIX, PLAIN, PREFIX_VARIABLE, Namespaces
from lab.core.places import data_root
from lab.engine.settings import LabSettings
from lab.kube.kubeconfig import kubeconfig_dict
from lab.kube.objects import KubeObject
from lab.kube.pki import new_authority
from lab.slo.alertmanager import alertmanager_config
from lab.slo.prometheus import prometheus_config
from lab.slo.rules import rule_files

ACTOR = "automation"
LOOPBACK = "127.0.0.1"
"""The gateway's other address, where a port of this machine leads to it."""
DATABASE_USER = "shop"
ENCODING = "client_encoding=utf8"
"""Of every connection to the database, which may have been made with any encoding."""
DATABASE_OPS = "database-ops"
"""The optional part that is no Deployment: the gateway serves guarded operations of the database."""
ALERTMANAGER = "alertmanager"


def made_objects(
    settings: LabSettings,
    admin_token: str,
    addresses: dict[str, str],
    listen: str = "",
    namespaces: Namespaces = NO_PREFIX,
) -> list[KubeObject]:
    """The objects that no file can hold, with plain names. addresses: `namespace/service` to cluster IP.
    listen: the address that pods listen on, where it is not their own. namespaces: what the cluster calls
    them."""
    gateway_ip = addresses["lab-system/gateway"]
    database_password = secrets.token_urlsafe(24)
    host = "db.shop.svc"
    database = {
        "user": DATABASE_USER,
        "password": database_password,
        "url": f"postgresql://{DATABASE_USER}:{database_password}@{host}:5432/{DATABASE_USER}?{ENCODING}",
    }
    gateway_host = namespaces.host("gateway", "lab-system")
    authority = new_authority("toil-lab gateway")
    cert, key = authority.issue(
        "gateway",
        dns_names=[gateway_host, f"{gateway_host}.cluster.local"],
        ip_addresses=[gateway_ip, LOOPBACK],
    )
    ca = authority.cert_pem
    client_token = secrets.token_urlsafe(32)
    kubeconfig = kubeconfig_dict(f"https://{gateway_ip}:8443", ca, client_token, namespace="shop", user=ACTOR)
    common = _common(settings, listen, namespaces)
    control = {"mode": "shadow", "killSwitch": "off", "by": "lab up", "reason": "default", "at": ""}
    monitoring = {
        "prometheus.yml": prometheus_config(
            settings.scale, addresses=addresses, alertmanager=ALERTMANAGER in settings.parts
        ),
        **rule_files(settings.scale),
    }
    return [
        *(_config_map(namespace, "lab-settings", common) for namespace in PLAIN),
        _config_map("lab-system", "automation-control", control),
        *((_config_map("lab-system", "prometheus-config", monitoring),) if not settings.prometheus else ()),
        _config_map("automation", "workspace", {}),
        *(_secret(namespace, "db", database) for namespace in ("shop", "lab-system")),
        _secret("lab-system", "lab-admin", {"token": admin_token}),
        _secret(
            "lab-system",
            "gateway-tls",
            {"tls.crt": cert.decode(), "tls.key": key.decode(), "ca.crt": ca.decode()},
        ),
        _secret("lab-system", "gateway-clients", {ACTOR: client_token}),
        *(_store_secrets(gateway_ip, client_token) if "logstore" in settings.parts else ()),
        *(_operations_secrets(addresses["shop/db"]) if DATABASE_OPS in settings.parts else ()),
        *(_alertmanager_files(addresses) if ALERTMANAGER in settings.parts else ()),
        *(_grafana_files() if "grafana" in settings.parts else ()),
        _secret("automation", "automation-kubeconfig", {"kubeconfig": yaml.safe_dump(kubeconfig)}),
    ]


def _common(settings: LabSettings, listen: str, namespaces: Namespaces) -> dict[str, str]:
    """What every part may know of the lab."""
    return {
        "LAB_SEED": str(settings.seed),
        "LAB_HOUR_SECONDS": f"{settings.hour_seconds:g}",
        "LAB_TOIL": settings.toil,
        "LAB_WORKERS": str(settings.workers),
        "LAB_STARTS": settings.starts,
        "LAB_LISTEN": listen,
        "LAB_IMAGE": settings.image,
        PREFIX_VARIABLE: namespaces.prefix,
    }


def _store_secrets(gateway_ip: str, client_token: str) -> list[KubeObject]:
    """The store's one key, for itself and the gateway, and the automation's own for the gateway."""
    inner = {"key": "gateway", "secret": secrets.token_urlsafe(32)}
    outer = {
        "AWS_ACCESS_KEY_ID": ACTOR,
        "AWS_SECRET_ACCESS_KEY": hashlib.sha256(client_token.encode()).hexdigest(),
        "AWS_ENDPOINT_URL_S3": f"http://{gateway_ip}:9000",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    stores = [_secret(namespace, "logstore", inner) for namespace in ("shop", "lab-system")]
    return [*stores, _secret("automation", "automation-store", outer)]


def _operations_secrets(database_ip: str) -> list[KubeObject]:
    """The password of the role `ops`: for the gateway, which makes the role, and for the automation."""
    password = secrets.token_urlsafe(24)
    outer = {
        "PGHOST": database_ip,
        "PGPORT": "5432",
        "PGUSER": "ops",
        "PGPASSWORD": password,
        "PGDATABASE": DATABASE_USER,
        "OPS_DATABASE_URL": f"postgresql://ops:{password}@{database_ip}:5432/{DATABASE_USER}",
    }
    return [
        _secret("lab-system", "database-ops", {"password": password}),
        _secret("automation", "automation-database", outer),
    ]


def _alertmanager_files(addresses: dict[str, str]) -> list[KubeObject]:
    text = alertmanager_config(addresses=addresses)
    return [_config_map("lab-system", "alertmanager-config", {"alertmanager.yml": text})]


def _grafana_files() -> list[KubeObject]:
    """The dashboards, and how Grafana finds them and Prometheus."""
    folder = data_root() / "clusters" / "dashboards"
    return [
        _config_map("lab-system", f"grafana-{name}", {path.name: path.read_text() for path in sorted(paths)})
        for name, paths in (
            ("dashboards", folder.glob("*.json")),
            ("provisioning", (folder / "provisioning").glob("*.yaml")),
        )
    ]


def _config_map(namespace: str, name: str, data: dict[str, str]) -> KubeObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def _secret(namespace: str, name: str, data: dict[str, str]) -> KubeObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
