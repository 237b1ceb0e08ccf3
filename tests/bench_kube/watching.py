"""How soon a watch has what was written, beside what the writer is told."""

from __future__ import annotations

import json
import threading
import time

from tests.bench_kube.figures import Figures, Size, times
from tests.bench_kube.manifests import MAKERS
from tests.bench_kube.target import Target, wait_until
from tests.bench_kube.thin import ThinClient, encoded

_COME_SECONDS = 30.0


class Watcher(threading.Thread):
    """Reads a watch, and notes when each name came first."""

    def __init__(self, client: ThinClient, path: str) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._path = path
        self.came: dict[str, float] = {}
        self.started = threading.Event()

    def run(self) -> None:
        try:
            for line in self._client.stream(self._path):
                now, event = time.perf_counter(), json.loads(line)
                if event["type"] == "BOOKMARK":
                    self.started.set()
                else:
                    self.came.setdefault(event["object"]["metadata"]["name"], now)
        except (OSError, ValueError):
            return  # the main thread has closed the connection


def watch_delivery(target: Target, namespace: str, size: Size) -> Figures:
    """Create one object after the other; from sending the request until its event is here."""
    figures: Figures = {}
    for kind, make in MAKERS.items():
        path = f"/api/v1/namespaces/{namespace}/{kind}"
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        with target.thin() as writing, target.thin() as reading:
            watcher = Watcher(reading, f"{path}?{query}")
            watcher.start()
            watcher.started.wait(_COME_SECONDS)
            sent, answered = {}, {}
            for number in range(size.requests):
                body = encoded(make(f"watched-{number}"))
                sent[f"watched-{number}"] = time.perf_counter()
                writing.ask("POST", path, body)
                answered[f"watched-{number}"] = time.perf_counter()
            wait_until(lambda: sent.keys() <= watcher.came.keys(), _COME_SECONDS, f"events of {kind}")  # noqa: B023
            reading.close()
            watcher.join()
        late = [watcher.came[name] - at for name, at in sent.items()]
        after = [max(watcher.came[name] - at, 0) for name, at in answered.items()]
        singular = kind.removesuffix("s")
        figures |= times(f"create of a {singular} sent to its watch event", late)
        figures |= times(f"create of a {singular} answered to its watch event", after)
    return figures
