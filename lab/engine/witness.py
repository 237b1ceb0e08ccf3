"""Watches the shop's pods from outside while a group runs: which lived, which went, and when."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.core.clock import SystemClock
from lab.engine.evidence import PodLife
from lab.errors import LabError

EVERY_SECONDS = 0.4
_MISSES_IN_A_ROW = 25


class PodWitness:
    """A thread that lists the pods of a namespace again and again, through the administrator's kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str = "shop") -> None:
        """namespace: as the cluster calls it."""
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._lives: dict[str, PodLife] = {}
        self._stopping = threading.Event()
        self._misses = 0
        self._thread = threading.Thread(target=self._run, name="pod-witness", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop; nobody wants to know any more. Idempotent."""
        self._stopping.set()

    def stop(self) -> tuple[PodLife, ...]:
        """Stop and say what was seen. Raises LabError when the API stopped answering meanwhile."""
        self._stopping.set()
        self._thread.join(10)
        if self._misses >= _MISSES_IN_A_ROW:
            raise LabError("the API server stopped answering while the pods were watched")
        return tuple(sorted(self._lives.values(), key=lambda life: (life.first_seen, life.name)))

    def _run(self) -> None:
        from kubernetes import client
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        from lab.engine.kube import api_client

        api: Any = api_client(self._kubeconfig)
        core = client.CoreV1Api(api)
        while not self._stopping.is_set():
            try:
                answer: Any = core.list_namespaced_pod(
                    self._namespace, _preload_content=False, _request_timeout=5
                )
                self._see(json.loads(answer.data)["items"], SystemClock().now().timestamp())
                self._misses = 0
            except (ApiException, HTTPError, OSError, ValueError, KeyError):
                self._misses += 1
            self._stopping.wait(EVERY_SECONDS)
        api.close()

    def _see(self, items: list[dict[str, Any]], now: float) -> None:
        present = set()
        for item in items:
            meta = item["metadata"]
            uid = str(meta["uid"])
            present.add(uid)
            life = self._lives.get(uid) or PodLife(
                meta["name"], uid, str((meta.get("labels") or {}).get("app", "")), now, now
            )
            going = life.deleted_at or (now if meta.get("deletionTimestamp") else None)
            statuses = item.get("status", {}).get("containerStatuses") or []
            count = sum(int(status.get("restartCount", 0)) for status in statuses)
            self._lives[uid] = replace(life, last_seen=now, deleted_at=going, restarts=count)
        for uid, life in self._lives.items():
            if uid not in present and life.deleted_at is None:
                self._lives[uid] = replace(life, deleted_at=now)
