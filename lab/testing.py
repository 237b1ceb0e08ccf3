"""Fixtures for tests of your own: `pytest_plugins = ["lab.testing"]` in the conftest.py beside them.

    def test_my_operator(real_cluster):
        kubernetes.config.load_kube_config(str(real_cluster.kubeconfig))

It needs `pip install 'toil-lab[k3s]'` and a Docker engine that starts privileged containers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from lab.errors import NotReadyError
from lab.providers.base import LAB_LABEL, Cluster
from lab.providers.engine import Engine


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A throw-away k3s for the whole run, gone at its end, also after Ctrl-C.

    Tests that want it are skipped, with the reason, where no engine answers or the image is not to be had.
    What the engine does not start is an error: it says why.
    """
    name = f"toil-lab-test-{secrets.token_hex(4)}"
    kubeconfig = tmp_path_factory.mktemp("real-cluster") / "kubeconfig"
    try:
        engine = Engine()
    except NotReadyError as error:
        pytest.skip(error.message)
    with engine:
        try:
            server = engine.start_k3s(name, {LAB_LABEL: name}, kubeconfig)
            yield Cluster("k3s", kubeconfig, server, {"container": name}, pod_network=True)
        except NotReadyError as error:
            pytest.skip(error.message)
        finally:
            engine.remove(name)
