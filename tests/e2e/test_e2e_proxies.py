"""A lab on a machine whose environment names proxies: nothing of the lab goes through one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from e2e_bench import Bench

pytestmark = pytest.mark.slow

DEAD = "http://127.0.0.1:9"
PROGRAM = """
from kubernetes import client
from lab.automation import sdk
from lab.experiments.activities import query

assert client.VersionApi(sdk.kube_client()).get_code().major
assert sdk.Prometheus().value("vector(1)") == 1.0
assert query("vector(1)") == 1.0
"""


def test_proxies_of_the_environment_see_nothing_of_a_lab(bench: Bench) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        bench.env |= {name: DEAD, name.lower(): DEAD}
    for command in (("up", "--toil", "off", "--starts", "cheap"), ("status",), ("break", "hung-workers")):
        bench.done(*command)
    variables = bench.done("env", "--json").data
    own = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=bench.env | variables, capture_output=True, text=True, timeout=60
    )
    assert own.returncode == 0, own.stderr
