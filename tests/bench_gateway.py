"""Measure the gateway: added latency, requests a second and core, watches, memory, how fast the switch is.

python -m tests.bench_gateway [PART ...] [--quick]     parts: latency, throughput, watches, memory, switch

Gateway and API server are processes of their own. Requests a second and core are requests divided by the
gateway's own processor time, so that a busy machine does not count against it. Behind it stands a small API
server that answers at once; for the switch it is localkube, with the gateway's own rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop
from aiohttp import web

from lab.core.places import data_root
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority

TOKEN = "token-of-the-automation"
PODS = "/api/v1/namespaces/shop/pods"
POD = f"{PODS}/worker-1"
CLIENTS = 50
WATCHES = 500
Figures = dict[str, float]


async def stub(port: int, tls: Path) -> None:
    """An API server that answers at once; a watch gets an event, with the time in it, every half second."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker-1", "namespace": "shop", "uid": "u"},
    }
    pod["spec"] = {
        "containers": [{"name": f"c{n}", "image": "toil-lab", "args": ["x" * 60]} for n in range(8)]
    }
    answer = orjson.dumps(pod)
    control = orjson.dumps({"kind": "ConfigMap", "data": {"mode": "live", "killSwitch": "off"}})

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if "automation-control" in request.raw_path:
            if "watch" in request.query:
                await asyncio.Event().wait()
            return web.Response(body=control, content_type="application/json")
        if "watch" in request.query:
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            while True:
                await asyncio.sleep(0.5)
                await stream.write(b'{"type":"BOOKMARK","at":%f}\n' % time.time())
        await request.read()
        return web.Response(body=answer, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()
    await asyncio.Event().wait()


class Client:
    """One keep-alive connection that sends ready-made requests; light, so that it measures the other side."""

    def __init__(self, port: int, context: ssl.SSLContext, token: str) -> None:
        self._port, self._context, self._token = port, context, token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="127.0.0.1"
        )
        return self._reader, self._writer

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        assert self._writer is not None
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {self._token}\r\n"
        if body:
            head += f"Content-Type: application/merge-patch+json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status code of one request, once its whole answer is here."""
        reader, _ = (self._reader, self._writer) if self._reader else await self.open()
        assert reader is not None
        self.send(method, path, body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@dataclass
class Bench:
    """A running gateway: its port, its process, and the port of the API server behind it."""

    port: int
    behind: int
    process: psutil.Process
    context: ssl.SSLContext

    def clients(self, count: int, *, direct: bool = False) -> list[Client]:
        port = self.behind if direct else self.port
        return [Client(port, self.context, TOKEN) for _ in range(count)]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def running(*argv: str, env: dict[str, str] | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, env=env, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def gateway(folder: Path, connection: Connection, ca: bytes, behind: int) -> AsyncIterator[Bench]:
    (folder / "clients").mkdir()
    (folder / "clients" / "automation").write_text(TOKEN)
    write_kubeconfig(
        folder / "kubeconfig", connection.server, connection.ca_pem or b"", connection.token or ""
    )
    port = free_port()
    env = os.environ | {
        "KUBECONFIG": str(folder / "kubeconfig"), "GATEWAY_TLS_DIR": str(folder),
        "GATEWAY_LISTEN_PORT": str(port), "GATEWAY_ADMIN_PORT": str(free_port()),
        "GATEWAY_CLIENTS_DIR": str(folder / "clients"), "GATEWAY_AUDIT_FILE": str(folder / "audit.jsonl"),
        "LAB_ADMIN_TOKEN": "admin", "POD_IP": "127.0.0.1",
    }  # fmt: skip
    async with running("-m", "lab.gateway", env=env) as process:
        await answers(port)
        context = ssl.create_default_context(cadata=ca.decode())
        context.load_verify_locations(cadata=(connection.ca_pem or ca).decode())
        yield Bench(port, behind, psutil.Process(process.pid), context)


@contextlib.asynccontextmanager
async def before_a_stub() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder, behind = Path(name), free_port()
        ca = certificate(folder)
        async with running("-m", "tests.bench_gateway", "stub", str(behind), name):
            await answers(behind)
            connection = Connection(f"https://127.0.0.1:{behind}", ca_pem=ca, token="of-the-gateway")
            async with gateway(folder, connection, ca, behind) as bench:
                yield bench


def certificate(folder: Path) -> bytes:
    authority = new_authority("bench")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    (folder / "tls.crt").write_bytes(cert)
    (folder / "tls.key").write_bytes(key)
    return authority.cert_pem


async def latency(quick: bool) -> Figures:
    """Fifty clients, each with a request four times a second, straight and through the gateway in turn."""
    rounds = 10 if quick else 60

    async def one(client: Client, offset: float, into: list[float]) -> None:
        await asyncio.sleep(offset)
        for _ in range(rounds):
            begun = time.perf_counter()
            assert await client.ask("GET", POD) == 200
            spent = time.perf_counter() - begun
            into.append(spent * 1000)
            await asyncio.sleep(max(0.25 - spent, 0))

    async with before_a_stub() as bench:
        straight, through = bench.clients(CLIENTS, direct=True), bench.clients(CLIENTS)
        await hammer(straight, 4 * CLIENTS, "GET", POD)  # connections are open, and everything is warm
        await hammer(through, 4 * CLIENTS, "GET", POD)
        times: dict[bool, list[float]] = {True: [], False: []}
        for direct, group in ((True, straight), (False, through), (True, straight), (False, through)):
            await asyncio.gather(
                *(one(client, number * 0.25 / CLIENTS, times[direct]) for number, client in enumerate(group))
            )
    low, high = (sorted(times[direct]) for direct in (True, False))
    return {
        "added latency, median ms": statistics.median(high) - statistics.median(low),
        "added latency, p99 ms": high[int(len(high) * 0.99)] - low[int(len(low) * 0.99)],
    }


async def hammer(clients: list[Client], count: int, method: str, path: str, body: bytes = b"") -> float:
    """`count` requests in all, as fast as they are answered; real seconds."""
    left = iter(range(count))

    async def one(client: Client) -> None:
        for _ in left:
            assert await client.ask(method, path, body) == 200

    begun = time.perf_counter()
    await asyncio.gather(*(one(client) for client in clients))
    return time.perf_counter() - begun


async def throughput(quick: bool) -> Figures:
    """Fifty clients in a closed loop: reads, and mutations (each reads control and image as well)."""
    count = 2000 if quick else 20_000
    figures: Figures = {}
    async with before_a_stub() as bench:
        clients = bench.clients(CLIENTS)
        await hammer(clients, 500, "GET", POD)
        for name, number, request in (
            ("reads", count, ("GET", POD, b"")),
            ("mutations", count // 4, ("PATCH", POD, b'{"metadata":{"labels":{"a":"b"}}}')),
        ):
            before = sum(bench.process.cpu_times()[:2])
            seconds = await hammer(clients, number, *request)
            used = sum(bench.process.cpu_times()[:2]) - before
            figures[f"{name} a second and core"] = number / used
            figures[f"{name} a second here"] = number / seconds
    return figures


async def watches(quick: bool) -> Figures:
    """Five hundred watches, an event for each every half second: how late they are, what they weigh."""
    late: list[float] = []

    async def one(client: Client, until: float) -> None:
        reader, _ = await client.open()
        client.send("GET", f"{PODS}?watch=true")
        while time.time() < until:
            line = await reader.readline()
            if b'"at"' in line:
                late.append(time.time() - json.loads(line)["at"])
        client.close()

    async with before_a_stub() as bench:
        idle = bench.process.memory_info().rss
        await asyncio.gather(*(one(c, time.time() + (5 if quick else 20)) for c in bench.clients(WATCHES)))
        weight = bench.process.memory_info().rss - idle
    late.sort()
    return {
        f"{WATCHES} watches, events": float(len(late)),
        f"{WATCHES} watches, median ms late": late[len(late) // 2] * 1000,
        f"{WATCHES} watches, p99 ms late": late[int(len(late) * 0.99)] * 1000,
        f"{WATCHES} watches, KiB each": weight / WATCHES / 1024,
    }


async def memory(quick: bool) -> Figures:
    """What a hundred thousand requests leave behind."""
    count = 5000 if quick else 100_000
    async with before_a_stub() as bench:
        clients = bench.clients(10)
        await hammer(clients, 5000, "GET", POD)
        before = bench.process.memory_info().rss
        await hammer(clients, count, "GET", POD)
        after = bench.process.memory_info().rss
    return {
        "resident, MiB": before / 2**20,
        f"growth over {count} requests, MiB": (after - before) / 2**20,
    }


@contextlib.asynccontextmanager
async def before_localkube() -> AsyncIterator[tuple[Bench, KubeClient]]:
    import yaml

    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder = Path(name)
        argv = ("-m", "lab.localkube", "--api-only", "--block", "248", "--data-dir", f"{name}/data")
        async with running(*argv, "--ready-file", f"{name}/ready"):
            async with asyncio.timeout(30):
                while not (folder / "ready").exists():
                    await asyncio.sleep(0.02)
            admin = load_kubeconfig(Path(json.loads((folder / "ready").read_text())["kubeconfig"]))
            async with KubeClient(admin) as kube:
                for namespace in ("shop", "lab-system", "automation"):
                    await kube.create("namespaces", {"metadata": {"name": namespace}})
                for file in ("gateway.yaml", "automation-rbac.yaml"):
                    text = (data_root() / "clusters" / "base" / file).read_text()
                    for manifest in yaml.safe_load_all(text):
                        if manifest["kind"] not in ("Deployment", "Service"):
                            where = manifest["metadata"].get("namespace", "")
                            await kube.create(manifest["kind"], manifest, where)
                await kube.create("deployments", WORKER)
                await kube.create("configmaps", CONTROL)
                spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
                token = (
                    await kube.create(
                        "serviceaccounts", spec, "lab-system", name="gateway", subresource="token"
                    )
                )["status"]["token"]
                connection = Connection(admin.server, ca_pem=admin.ca_pem, token=token)
                async with gateway(folder, connection, certificate(folder), 0) as bench:
                    yield bench, kube


WORKER: dict[str, Any] = {
    "metadata": {"name": "worker", "namespace": "shop"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}},
            "spec": {"containers": [{"name": "worker", "image": "toil-lab"}]},
        },
    },
}
CONTROL: dict[str, Any] = {
    "metadata": {"name": "automation-control", "namespace": "lab-system"},
    "data": {"mode": "live", "killSwitch": "off"},
}


async def switch(quick: bool) -> Figures:
    """Fifty clients that mutate all the time, while the ConfigMap is written fifty times. From sending that
    write to the first refusal: then all that waits is refused, and nothing leaves any more."""
    engagements = 5 if quick else 50
    path = "/apis/apps/v1/namespaces/shop/deployments/worker"
    successes, refused = 0, asyncio.Event()

    async def one(client: Client, number: int) -> None:
        nonlocal successes
        body = json.dumps({"metadata": {"labels": {f"c{number}": "x"}}}).encode()
        while True:
            if await client.ask("PATCH", path, body) == 200:
                successes += 1
            else:
                refused.set()
            await asyncio.sleep(0.1)

    latencies: list[float] = []
    async with before_localkube() as (bench, kube), asyncio.TaskGroup() as group:
        load = [group.create_task(one(c, number)) for number, c in enumerate(bench.clients(CLIENTS))]
        for number in range(engagements):
            had = successes
            async with asyncio.timeout(60):
                while successes < had + CLIENTS:
                    await asyncio.sleep(0.01)
            refused.clear()
            data = {"killSwitch": "on", "by": "bench", "reason": f"engagement {number}"}
            begun = time.perf_counter()
            write = kube.patch("configmaps", "automation-control", {"data": data}, "lab-system")
            writing = group.create_task(write)
            await refused.wait()
            latencies.append((time.perf_counter() - begun) * 1000)
            await writing
            off = {"data": {"killSwitch": "off"}}
            await kube.patch("configmaps", "automation-control", off, "lab-system")
        for task in load:
            task.cancel()
    return {
        "kill switch, median ms": statistics.median(latencies),
        "kill switch, max ms": max(latencies),
    }


PARTS: dict[str, Callable[[bool], Any]] = {
    "latency": latency,
    "throughput": throughput,
    "watches": watches,
    "memory": memory,
    "switch": switch,
}


def main() -> None:
    """Run the parts that are named, or all, and print what came out; as JSON on the last line."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[:1] == ["stub"]:
        uvloop.run(stub(int(words[1]), Path(words[2])))
    figures: Figures = {}
    for name in words or PARTS:
        if name not in PARTS:
            raise SystemExit(f"there is no part {name!r}; there are {', '.join(PARTS)}")
        figures |= uvloop.run(PARTS[name]("--quick" in sys.argv))
    for name, value in figures.items():
        sys.stdout.write(f"{name:40} {value:10.2f}\n")
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
