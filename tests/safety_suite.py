"""The safety suite before a given cluster: it says what it needs, readies it, and leaves nothing in it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest
from given_cluster import NAMESPACES, OUTSIDE, GivenCluster, given_cluster

from lab.errors import LabError, UsageError

NEEDS = f"""It makes and removes the namespaces {", ".join(NAMESPACES)}, and objects with the label
toil-lab/safety-suite of the kinds {", ".join(OUTSIDE)}.
It needs every right in these namespaces, and to get, list, create, update, patch and delete those kinds and
namespaces, and to escalate and bind ClusterRoles. It runs no pod and changes nothing of others."""


class SafetySuite:
    """A plugin of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cluster: GivenCluster | None = None

    def pytest_sessionstart(self) -> None:
        """Ready the cluster, or end here and say why."""
        if self._config.option.collectonly:
            return
        with _ending_clearly():
            if self._config.getoption("numprocesses", None) or hasattr(self._config, "workerinput"):
                raise UsageError("a given cluster has room for one test at a time", hint="leave -n away")
            cluster = given_cluster()
            assert cluster is not None
            self._say(f"The cluster of the context {cluster.context.name}, {cluster.context.server}.")
            self._say(NEEDS)
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: with tidying up
            cluster.check()
            self._cluster = cluster
            cluster.prepare()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Whatever happened: take away what was made."""
        if self._cluster is None:
            return
        with _ending_clearly():
            self._cluster.remove()
            self._say(f"\nNothing of the suite is left in {self._cluster.context.name}.")

    def _say(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.write_line(text)


@contextlib.contextmanager
def _ending_clearly() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        pytest.exit(f"{error.message}{hint}", error.exit_code)
