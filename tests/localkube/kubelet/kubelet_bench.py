"""A node with a real registry and real processes, on an address block of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from address_blocks import free_block

from lab.core.clock import SystemClock
from lab.core.places import data_root
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.images.images import Images
from lab.localkube.kubelet.kubelet import Kubelet
from lab.localkube.kubelet.nodes import Nodes
from lab.localkube.protocols import Streams
from lab.localkube.registry.registry import open_registry

PODS = builtin("Pod")
EVENTS = builtin("Event", "")
NODE = "local"


class Bench:
    """A registry and a kubelet, with what a test needs to ask them."""

    def __init__(
        self,
        directory: Path,
        *,
        backoff_max: float = 3.0,
        block: int | None = None,
        count: int = 1,
        lease_seconds: float = 40.0,
    ) -> None:
        self.directory = directory
        self.block = free_block() if block is None else block
        self.clock = SystemClock()
        services = [f"127.{self.block}.200.{host}" for host in range(1, 50)]
        self.registry = open_registry(directory / "store", clock=self.clock, service_range=services)
        self.backoff_max = backoff_max
        self.count, self.lease_seconds = count, lease_seconds
        self.tokens_issued = 0
        self.kubelet = self.make_kubelet()
        self.task: asyncio.Task[None] | None = None

    def make_kubelet(self) -> Kubelet:
        """Other nodes on the same registry and folder; the first one's kubelet."""
        ca = self.directory / "ca.crt"
        ca.write_text("not a certificate\n")
        self.nodes = Nodes(
            self.registry,
            count=self.count,
            data_dir=self.directory / "kubelet",
            block=self.block,
            images=Images(self._image_map()),
            clock=self.clock,
            issue_token=self._token,
            api_server=f"https://127.{self.block}.0.1:6443",
            ca_file=ca,
            backoff_max=self.backoff_max,
            storage_seconds=0.1,
            lease_seconds=self.lease_seconds,
        )
        return self.nodes.kubelets[NODE]

    def _token(
        self, namespace: str, account: str, pod: str, *, audience: str = "", seconds: int | None = None
    ) -> str:
        """What a token is for, in a text."""
        self.tokens_issued += 1
        return "-".join(
            str(each) for each in ("token-of", namespace, account, pod, audience, seconds) if each
        )

    def _image_map(self) -> Path:
        """The lab's images, but nothing is preloaded: a test needs little of it."""
        table = yaml.safe_load((data_root() / "clusters" / "local" / "images.yaml").read_text())
        file = self.directory / "images.yaml"
        file.write_text(yaml.safe_dump({"images": table["images"]}))
        return file

    async def start(self) -> None:
        self.task = asyncio.create_task(self.nodes.run())
        await self.until(lambda: self.ready_node(), what="the node")

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def close(self) -> None:
        await self.stop()
        self.registry.close()

    def ready_node(self) -> Any:
        try:
            node = self.registry.get(builtin("Node"), "", NODE)
        except StatusError:
            return None
        return node if node.get("status", {}).get("conditions") else None

    def create(self, kind: str, name: str, namespace: str = "default", **fields: Any) -> Any:
        resource = builtin(kind)
        metadata = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
        body = {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, **fields}
        return self.registry.create(resource, namespace, body)

    def pod(self, name: str, *containers: dict[str, Any], metadata: Any = None, **spec: Any) -> Any:
        """Create a pod that is bound to the node. A container needs no name and no image."""
        filled = [
            {"name": f"c{index}" if index else "main", "image": "toil-lab", **container}
            for index, container in enumerate(containers)
        ]
        spec = {"terminationGracePeriodSeconds": 2, "nodeName": NODE, "containers": filled, **spec}
        return self.create("Pod", name, spec=spec, metadata=metadata or {})

    def get(self, name: str) -> Any:
        """The pod, or None."""
        try:
            return self.registry.get(PODS, "default", name)
        except StatusError:
            return None

    def status(self, name: str, container: str = "main") -> Any:
        """A container's status, or an empty one."""
        status = (self.get(name) or {}).get("status") or {}
        for key in ("containerStatuses", "initContainerStatuses"):
            for each in status.get(key) or ():
                if each["name"] == container:
                    return each
        return {"state": {}, "lastState": {}, "restartCount": 0, "ready": False}

    def phase(self, name: str) -> str:
        return str(((self.get(name) or {}).get("status") or {}).get("phase"))

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about a pod."""
        items = self.registry.list(EVENTS, "default").items
        return [(e["reason"], e["message"]) for e in items if e["involvedObject"]["name"] == name]

    async def until(self, condition: Callable[[], Any], *, what: str = "", seconds: float = 40) -> Any:
        """Wait for a condition; the first true value."""
        end = self.clock.monotonic() + seconds
        while not (value := condition()):
            if self.task is not None and self.task.done():
                self.task.result()
            if self.clock.monotonic() > end:
                pods = self.registry.list(PODS).items
                seen = [(pod.get("status"), self.events(pod["metadata"]["name"])) for pod in pods]
                raise AssertionError(f"{what or condition} did not come true: {seen}")
            await self.clock.sleep(0.02)
        return value

    async def until_ready(self, name: str, seconds: float = 40) -> Any:
        def ready() -> Any:
            pod = self.get(name)
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}
            return pod if conditions.get("Ready") == "True" else None

        return await self.until(ready, what=f"{name} ready", seconds=seconds)

    async def until_phase(self, name: str, phase: str) -> Any:
        await self.until(lambda: self.phase(name) == phase, what=f"{name} {phase}")
        return self.get(name)

    async def until_said(self, name: str) -> str:
        """The first thing that a pod says."""
        log = self.kubelet._pod("default", name).containers["main"].log
        assert log is not None
        await self.until(lambda: log.path.read_text().endswith("\n"), what=f"{name} says something")
        return await self.log(name)

    async def log(self, name: str, container: str = "", **query: Any) -> str:
        parts = [part async for part in self.kubelet.logs("default", name, container, **query)]
        return b"".join(parts).decode()

    def delete(self, name: str, grace: int | None = None) -> None:
        from lab.localkube.protocols import DeleteOptions

        self.registry.delete(PODS, "default", name, DeleteOptions(grace_period_seconds=grace))

    async def until_gone(self, name: str) -> None:
        await self.until(lambda: self.get(name) is None, what=f"{name} gone")

    async def exec(self, name: str, *command: str, container: str = "") -> tuple[int, str]:
        said = bytearray()

        async def take(data: bytes) -> None:
            said.extend(data)

        streams = Streams(stdout=take, stderr=take)
        code = await self.kubelet.exec("default", name, container, command, streams)
        return code, said.decode()


def python(code: str) -> dict[str, Any]:
    """A container that runs some Python."""
    return {"command": ["python", "-c", code]}


SERVER = """
import http.server, os, signal, sys
state = {"code": 200}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/set/"):
            state["code"] = int(self.path[5:])
        self.send_response(200 if self.path.startswith("/set/") else state["code"])
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.HTTPServer((os.environ["POD_IP"], 8080), Handler)
print("listening", flush=True)
server.serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
