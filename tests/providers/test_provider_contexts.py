"""Which context of a kubeconfig is meant; none that looks like production is taken by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab.errors import ConfigError, NotReadyError, UsageError
from lab.kube.kubeconfig import load_kubeconfig
from lab.providers.contexts import Context, read_context, refuse_production


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    names = ("practice", "prod-eu")
    config = {
        "current-context": "practice",
        "contexts": [{"name": name, "context": {"cluster": f"of-{name}", "user": "me"}} for name in names],
        "clusters": [{"name": f"of-{name}", "cluster": {"server": f"https://{name}:6443"}} for name in names],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_current_context_or_one_by_name(kubeconfig: Path) -> None:
    assert read_context(kubeconfig) == Context("practice", "of-practice", "https://practice:6443")
    assert read_context(kubeconfig, "prod-eu").cluster == "of-prod-eu"
    assert load_kubeconfig(kubeconfig, "prod-eu").server == "https://prod-eu:6443"


def test_what_is_wrong_is_named_with_the_way_out(kubeconfig: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no context 'other'") as caught:
        read_context(kubeconfig, "other")
    assert "practice, prod-eu" in caught.value.hint
    with pytest.raises(NotReadyError, match="No such file"):
        read_context(tmp_path / "absent")
    for text in (
        "contexts: [{}]",
        "- a",
        "{",
        "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]",
    ):
        kubeconfig.write_text(text)
        with pytest.raises(ConfigError, match="not a kubeconfig"):
            read_context(kubeconfig)
    kubeconfig.write_text("{}")
    with pytest.raises(UsageError, match="no current context"):
        read_context(kubeconfig)


@pytest.mark.parametrize("name", ["prod", "prod-eu1", "eu_production", "PRD", "shop-live", "euprod", "prod2"])
def test_what_looks_like_production_is_named_twice_or_refused(name: str) -> None:
    for context in (Context(name, "c", "https://s"), Context("c", name, "https://s")):
        with pytest.raises(UsageError, match="looks like production") as caught:
            refuse_production(context)
        assert context.name in caught.value.hint
        with pytest.raises(UsageError):
            refuse_production(context, "another")
        refuse_production(context, context.name)
    with pytest.raises(UsageError, match=r"https://api\.prod\.example"):
        refuse_production(Context("a", "b", "https://api.prod.example"))


@pytest.mark.parametrize(
    "name", ["kind-lab", "product-tests", "nonprod", "pre-prod", "alive", "delivery", ""]
)
def test_other_names_pass(name: str) -> None:
    refuse_production(Context(name, name, "https://127.0.0.1:6443"))
