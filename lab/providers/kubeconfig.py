"""Any cluster that a kubeconfig reaches: the lab is a guest there, and leaves as it came."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lab.core.namespaces import PLAIN, Namespaces, prefix_for
from lab.errors import LabError, UsageError
from lab.kube.kubeconfig import load_kubeconfig, write_connection
from lab.providers.asking import ask
from lab.providers.base import Capabilities, Cluster, Say, check_name, quiet
from lab.providers.contexts import Context, read_context, refuse_production
from lab.providers.facts import facts_file, read_facts, write_facts
from lab.providers.guest import belongings, look, remove
from lab.providers.registry import tagged_images
from lab.providers.way import close_way, forget_way, way


class KubeconfigProvider:
    """A guest in somebody's cluster. What it keeps here: a kubeconfig of its own, and the way to Services."""

    name = "kubeconfig"
    alone = False
    ready_seconds = 300.0
    capabilities = Capabilities(
        service_addresses_reachable=False,
        memory_limits=True,
        network_policy=False,
        node_loss=False,
        isolated_processes=True,
    )

    def __init__(self, kubeconfig: str = "", context: str = "", again: str = "", registry: str = "") -> None:
        """kubeconfig: the file, or a list as in KUBECONFIG; context: of it, by default its current one.
        again: the name of a context that looks like production, said a second time. registry: where its nodes
        find images, by default the public ones."""
        self._given = kubeconfig
        self._context = context
        self._again = again
        self._registry = registry

    def check(self) -> None:
        self._chosen()
        tagged_images(self._registry)

    def create(
        self, directory: Path, *, nodes: int = 1, hour_seconds: float = 60.0, say: Say = quiet
    ) -> Cluster:
        if nodes != 1:
            raise UsageError("--nodes is for the local provider: this cluster has the nodes that it has")
        check_name(directory.name)
        images = tagged_images(self._registry)
        given, context = self._chosen()
        home = directory / "cluster"
        home.mkdir(parents=True, exist_ok=True)
        kubeconfig = home / "admin.kubeconfig"
        write_connection(kubeconfig, load_kubeconfig(given, context.name))
        namespaces = Namespaces(prefix_for(directory.name))
        version, kept = ask(context, look(kubeconfig, namespaces, directory.name))
        facts: dict[str, str | int | float] = {
            "kubeconfig": str(kubeconfig),
            "server": context.server,
            "context": context.name,
            "prefix": namespaces.prefix,
            "kept": " ".join(kept),
        }
        write_facts(directory, facts)
        return Cluster(
            self.name,
            kubeconfig,
            context.server,
            facts,
            pod_network="localkube" not in version,  # its pods share the addresses of its host
            namespaces=namespaces,
            shared=True,
            images=images,
            kept=kept,
        )

    def find(self, directory: Path) -> Cluster | None:
        facts = read_facts(directory)
        if facts is None:
            return None
        self._follow(directory, facts)
        server, namespaces = str(facts["server"]), _namespaces(facts)
        kept = tuple(str(facts.get("kept", "")).split())
        return Cluster(self.name, Path(facts["kubeconfig"]), server, facts, namespaces=namespaces, kept=kept)

    def address(self, directory: Path, service: str, cluster_ip: str, port: int) -> str:
        return way(directory, service, port, PLAIN)

    def delete(self, directory: Path) -> None:
        facts = read_facts(directory)
        if facts is not None:
            self._follow(directory, facts)
            close_way(directory)
            kubeconfig, kept = Path(facts["kubeconfig"]), _kept(facts)
            ask(_context_of(facts), remove(kubeconfig, directory.name, kept))
        shutil.rmtree(directory / "cluster", ignore_errors=True)
        facts_file(directory).unlink(missing_ok=True)
        forget_way(directory)

    def belongings(self, directory: Path) -> list[str]:
        facts = read_facts(directory)
        if facts is None:
            return []
        self._follow(directory, facts)
        kubeconfig, kept = Path(facts["kubeconfig"]), _kept(facts)
        return ask(_context_of(facts), belongings(kubeconfig, directory.name, kept))

    def log_tail(self, directory: Path, lines: int = 20) -> str:
        return ""

    def _follow(self, directory: Path, facts: dict[str, Any]) -> None:
        """Take over new credentials of the kubeconfig that was given: the lab's own may have expired."""
        own = Path(facts["kubeconfig"])
        try:
            before = load_kubeconfig(own)
            now = load_kubeconfig(self._given, str(facts["context"])) if self._given else before
        except LabError:  # what was given is gone: the lab's own counts
            return
        if now != before and now.server == before.server:
            close_way(directory)  # it knows the former ones
            write_connection(own, now)

    def _chosen(self) -> tuple[str, Context]:
        if not self._given:
            raise UsageError(
                "the provider kubeconfig needs a kubeconfig",
                hint="lab up --provider kubeconfig --kubeconfig FILE [--context NAME]",
            )
        context = read_context(self._given, self._context)
        refuse_production(context, self._again)
        return self._given, context


def _context_of(facts: dict[str, Any]) -> Context:
    return Context(str(facts["context"]), "", str(facts["server"]))


def _namespaces(facts: dict[str, Any]) -> Namespaces:
    return Namespaces(str(facts.get("prefix", "")))


def _kept(facts: dict[str, Any]) -> Namespaces | None:
    """The lab's namespaces, if an administrator made them."""
    return _namespaces(facts) if facts.get("kept") else None
