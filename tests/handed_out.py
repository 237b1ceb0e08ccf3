"""A cluster's administrator, and somebody who has exactly what the administrator hands out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from cluster_contents import everything
from localkube_process import Served

from lab.engine.clients import wait_until
from lab.kube.kubeconfig import kubeconfig_dict, load_kubeconfig

TENANT = "serviceaccount:default:tenant"


def kubectl(host: Served, *arguments: str, given: str = "") -> str:
    """As the administrator."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", host.kubeconfig, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def settled(host: Served) -> set[str]:
    """All that the cluster holds, when every namespace has what a cluster puts into it by itself."""
    found: set[str] = set()

    def furnished() -> bool:
        nonlocal found
        found = everything(host.kubeconfig)
        names = [each.partition("/")[2] for each in found if each.startswith("namespaces ")]
        own = ("serviceaccounts {}/default", "configmaps {}/kube-root-ca.crt")
        return all(each.format(name) in found for name in names for each in own)

    assert wait_until(furnished, seconds=60.0, every=0.05)
    return found


def tenant(host: Served, folder: Path) -> Path:
    """The kubeconfig of a ServiceAccount that has what is handed out and nothing else."""
    kubectl(host, "create", "serviceaccount", "tenant", "--namespace", "default")
    token = kubectl(host, "create", "token", "tenant", "--namespace", "default").strip()
    path = folder / "tenant.kubeconfig"
    ca = load_kubeconfig(host.kubeconfig).ca_pem
    path.write_text(json.dumps(kubeconfig_dict(host.server, ca, token, user="tenant")))
    return path
