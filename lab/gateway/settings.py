"""What a gateway is started with, from the environment of its pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.core.clock import TimeScale
from lab.core.namespaces import NO_PREFIX, PREFIX_VARIABLE, Namespaces
from lab.errors import UsageError


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """tls: folder with tls.crt and tls.key. clients: folder with one file per actor, the token in it.

    audit_file: where records are appended. control: namespace and name of the ConfigMap that holds mode and
    kill switch. actor_namespace: the namespace of the ServiceAccounts that actors are impersonated as.
    settle_minutes: lab minutes for which a pod that was taken away counts as away, and an intent is shown.
    pager_url: where approvals are looked up; empty: there are none.
    store_url, store_key, store_secret: the S3 store behind the gateway; empty: there is none. store_port:
    where the gateway speaks S3.
    database_url: the shop's database, as its superuser; empty: there are no guarded operations. ops_password:
    of the role `ops`, which acts as the actor database_actor.
    namespaces: what the cluster calls the namespaces that are named here.
    """

    host: str = "127.0.0.1"
    port: int = 8443
    admin_port: int = 8081
    tls: Path = Path("/etc/gateway/tls")
    clients: Path = Path("/etc/gateway/clients")
    audit_file: Path = Path("/var/lib/gateway/audit.jsonl")
    admin_token: str = ""
    control: tuple[str, str] = ("lab-system", "automation-control")
    actor_namespace: str = "automation"
    scale: TimeScale = field(default_factory=TimeScale)
    settle_minutes: float = 5.0
    pager_url: str = ""
    store_url: str = ""
    store_key: str = ""
    store_secret: str = field(default="", repr=False)
    store_port: int = 9000
    database_url: str = field(default="", repr=False)
    ops_password: str = field(default="", repr=False)
    database_actor: str = "automation"
    namespaces: Namespaces = NO_PREFIX

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read the pod's variables. Raises UsageError when one makes no sense."""
        default = cls()
        namespaces = Namespaces(env.get(PREFIX_VARIABLE, ""))
        own = namespaces.plain(env.get("POD_NAMESPACE") or default.control[0])
        try:
            return cls(
                host=env.get("LAB_LISTEN") or env.get("POD_IP") or default.host,
                port=int(env.get("GATEWAY_LISTEN_PORT") or default.port),
                admin_port=int(env.get("GATEWAY_ADMIN_PORT") or default.admin_port),
                tls=Path(env.get("GATEWAY_TLS_DIR") or default.tls),
                clients=Path(env.get("GATEWAY_CLIENTS_DIR") or default.clients),
                audit_file=Path(env.get("GATEWAY_AUDIT_FILE") or default.audit_file),
                admin_token=env.get("LAB_ADMIN_TOKEN", ""),
                control=(own, default.control[1]),
                actor_namespace=env.get("GATEWAY_ACTOR_NAMESPACE") or default.actor_namespace,
                scale=TimeScale(float(env.get("LAB_HOUR_SECONDS") or 60)),
                pager_url=env.get("GATEWAY_PAGER_URL", ""),
                store_url=env.get("GATEWAY_STORE_URL", "") if env.get("GATEWAY_STORE_SECRET") else "",
                store_key=env.get("GATEWAY_STORE_KEY", ""),
                store_secret=env.get("GATEWAY_STORE_SECRET", ""),
                store_port=int(env.get("GATEWAY_STORE_PORT") or default.store_port),
                database_url=env.get("GATEWAY_DATABASE_URL", "") if env.get("GATEWAY_OPS_PASSWORD") else "",
                ops_password=env.get("GATEWAY_OPS_PASSWORD", ""),
                namespaces=namespaces,
                settle_minutes=float(env.get("GATEWAY_SETTLE_MINUTES") or default.settle_minutes),
            )
        except ValueError as error:
            raise UsageError(f"a setting of the gateway is wrong: {error}") from error
