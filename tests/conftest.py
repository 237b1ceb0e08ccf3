"""Settings of every test.

Property tests draw the same examples every time; `HYPOTHESIS_PROFILE=explore` looks for new ones. With
`SAFETY_KUBECONFIG` (`make safety KUBECONFIG=…`) a cluster is given: see safety_suite.py.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How quick something is, is a benchmark's question: a busy machine breaks no property."""

settings.register_profile("same", UNHURRIED, derandomize=True, database=None)
settings.register_profile("explore", UNHURRIED, max_examples=2000, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ["LAB_SETTINGS"] = os.devnull
"""A person's own settings are no part of a test."""


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("SAFETY_KUBECONFIG"):
        from safety_suite import SafetySuite

        config.pluginmanager.register(SafetySuite(config))
