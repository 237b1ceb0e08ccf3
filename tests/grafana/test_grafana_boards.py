"""The dashboards as Grafana would read them, and their queries as Prometheus would."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from promtool import run_promtool

from lab.core.clock import TimeScale
from lab.core.places import data_root
from lab.grafana.board import COLUMNS, REASONS, Board, Query, described
from lab.grafana.boards import BOARDS, text
from lab.metrics.catalogue import ALL
from lab.slo.rules import RULES_FILE, rule_files

BUILT_IN = {"ALERTS", "up", "scrape_duration_seconds"}
TARGET_LABELS = {"app", "pod", "namespace", "instance", "job"}
ALERT_LABELS = {"alertname", "severity", "long", "short"}
NAME = re.compile(r"\b(?:shop_|toil_|slo:)[a-z0-9_:]+|\b(?:ALERTS|up|scrape_duration_seconds)\b")
WINDOWS = {"$__rate_interval": "10s", "$__range": "60s"}

names = {metric.name: metric for metric in ALL}


def queries() -> list[tuple[Board, str, Query]]:
    return [
        (board, panel.title, query) for board in BOARDS for panel in board.panels for query in panel.queries
    ]


def in_seconds(expression: str) -> str:
    for variable, window in WINDOWS.items():
        expression = expression.replace(variable, window)
    assert "$" not in expression, expression
    return expression


def declared(name: str) -> set[str]:
    """The labels that a series of that name has. Raises KeyError when nothing declares the name."""
    if name in BUILT_IN:
        return TARGET_LABELS | (ALERT_LABELS if name == "ALERTS" else set())
    if name.startswith("slo:"):
        rules = yaml.safe_load(rule_files(TimeScale(60.0))[RULES_FILE])
        recorded = {
            rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule
        }
        if name not in recorded:
            raise KeyError(name)
        return {"slo"}
    metric = names.get(name) or names[re.sub(r"_(bucket|sum|count)$", "", name)]
    return {*metric.labels, *TARGET_LABELS, *(("le",) if metric.buckets else ())}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_grafanas_own_models_lose_nothing_of_it(board: Board) -> None:
    register_default_plugins()
    document = json.loads(text(board))
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(document)))
    assert _missing(document, read) == []


def _missing(given: Any, read: Any, path: str = "") -> list[str]:
    """What of the given document is not in the one that was read and written again."""
    if isinstance(given, dict):
        if not isinstance(read, dict):
            return [path]
        return [
            found
            for key, value in given.items()
            for found in (_missing(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"])
        ]
    if isinstance(given, list):
        if not isinstance(read, list) or len(read) != len(given):
            return [path]
        pairs = enumerate(zip(given, read, strict=True))
        return [found for place, pair in pairs for found in _missing(*pair, f"{path}[{place}]")]
    return [] if given == read else [path]


def test_a_misspelt_field_is_seen() -> None:
    register_default_plugins()
    document = BOARDS[0].document() | {"titel": "x"}
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert _missing(document, read) == [".titel"]


def test_every_dashboard_has_an_address_of_its_own() -> None:
    assert len({board.uid for board in BOARDS}) == len(BOARDS)
    assert {board.name for board in BOARDS} == {"service", "automation", "toil", "slo"}
    assert all(len(board.uid) <= 40 for board in BOARDS)  # Grafana's limit


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_lie_side_by_side(board: Board) -> None:
    panels = board.document()["panels"]
    places = [panel["gridPos"] for panel in panels]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    overlapping = [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]
    assert overlapping == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_panel_says_what_it_shows(board: Board) -> None:
    for panel in board.panels:
        assert panel.title
        assert described(panel).endswith("."), panel.title
        assert panel.queries, panel.title
        assert all(query.legend for query in panel.queries), panel.title
    for panel in board.document()["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"]
    titles = [panel.title for panel in board.panels]
    assert len(set(titles)) == len(titles)


def test_every_name_and_label_is_declared() -> None:
    for board, title, query in queries():
        where = f"{board.name}: {title}: {query.expression}"
        found = NAME.findall(query.expression)
        assert found, where
        labels = set.intersection(*(declared(name) for name in found))
        grouped = {
            label.strip()
            for group in re.findall(r"by \(([^)]*)\)", query.expression)
            for label in group.split(",")
        }
        assert grouped <= labels, where
        assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= grouped, where


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {name for _, _, query in queries() for name in NAME.findall(query.expression)}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} | shown
    assert names.keys() - bare == set()


def test_what_needs_something_names_what_there_is() -> None:
    from lab.engine.objects import DATABASE_OPS
    from lab.faults.registry import SPECS

    for _, title, query in queries():
        if query.needs in REASONS:
            continue
        what, _, name = query.needs.partition(" ")
        known = {
            "": {""},
            "fault": set(SPECS),
            "part": {"logstore", DATABASE_OPS},
        }
        assert name in known[what], title


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": in_seconds(query.expression)}
        for number, (_, _, query) in enumerate(queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = run_promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_a_counter_is_read_as_a_rate_or_whole() -> None:
    """A gauge never goes into rate() or increase()."""
    for _, title, query in queries():
        for name in re.findall(r"(?:rate|increase)\((\w+)", query.expression):
            metric = names.get(name) or names[re.sub(r"_(bucket|sum|count)$", "", name)]
            assert metric.kind.value != "gauge", title


def test_provisioning_leads_to_the_files() -> None:
    folder = data_root() / "clusters" / "dashboards"
    documents = list(yaml.safe_load_all((data_root() / "clusters" / "parts" / "grafana.yaml").read_text()))
    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    provider = yaml.safe_load((folder / "provisioning" / "dashboards.yaml").read_text())["providers"][0]
    source = yaml.safe_load((folder / "provisioning" / "datasources.yaml").read_text())["datasources"][0]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert provider["options"]["path"] == mounts["dashboards"]
    assert environment["GF_PATHS_PROVISIONING"] == mounts["provisioning"]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == mounts["dashboards"]
    assert (folder / home.name).is_file()
    assert re.fullmatch(r"\$\{(\w+)\}", source["url"])[1] in environment  # type: ignore[index]
    (provisioning,) = [volume for volume in pod["volumes"] if volume["name"] == "provisioning"]
    items = provisioning["configMap"]["items"]
    assert {item["key"] for item in items} == {path.name for path in (folder / "provisioning").glob("*.yaml")}
    assert {item["path"].split("/")[0] for item in items} == {"datasources", "dashboards"}
