"""The alerts, the dashboard and their page name only what is exported, and Prometheus can read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.metrics_core import Metric

from projector.engines.ports import StoreEngine
from projector.event_writer import EventWriter
from projector.opening import hygiene_from_environment, open_store
from projector.process_metrics import ProcessMetrics
from workflows.service.desk import desk
from workflows.service.metrics import ServiceMetrics
from workflows.settings import OrchestratorSettings

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "monitoring.md").read_text()
RULES: Final = (DOCS / "monitoring" / "alerts.yml").read_text()
DASHBOARD: Final[dict[str, Any]] = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
QUERIES: Final[list[str]] = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}

with_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreEngine]:
    folder = tmp_path_factory.mktemp("watched")
    with closing(open_store(OrchestratorSettings(data_dir=folder))) as store:
        yield store


@pytest.fixture(scope="module")
async def exported(store: StoreEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Metric]:
    """Our own families by the names that they have on the page."""
    settings = OrchestratorSettings(data_dir=tmp_path_factory.getbasetemp(), store=store.place)
    writer, process = EventWriter(store), ProcessMetrics()
    process.watch_writer(writer)
    writer.close()
    async with desk(settings, store, hygiene_from_environment()) as made:
        service = ServiceMetrics(made)
        await service.text("")
        families = [*service.registry.collect(), *process.registry.collect()]
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in sorted(families, key=lambda family: family.name)
        if family.name.startswith("execution_status_")
    }


def series(exported: dict[str, Metric]) -> set[str]:
    return {family.name + suffix for family in exported.values() for suffix in SUFFIXES[family.type]}


def named(text: str) -> set[str]:
    """What looks like a metric of ours."""
    return set(re.findall(r"\bexecution_status_\w+", text))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def test_the_page_has_every_metric_with_its_type_labels_and_meaning(exported: dict[str, Metric]) -> None:
    rows = []
    for name, family in exported.items():
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        told = ", ".join(f"`{label}`" for label in labels) or "—"
        rows.append(f"| `{name}` | {family.type} | {told} | {family.documentation} |")
    held = [line for line in PAGE.splitlines() if line.startswith("| `execution_status_")]
    assert held == rows, "\n".join(["docs/monitoring.md should have:", *rows])


def test_rules_and_dashboard_name_only_what_is_exported(exported: dict[str, Metric]) -> None:
    known = series(exported)
    for text in (RULES, *QUERIES):
        assert named(text) <= known
    assert named(PAGE) <= known | exported.keys()


def test_the_dashboard_shows_nearly_everything(exported: dict[str, Metric]) -> None:
    shown = {name for query in QUERIES for name in named(query)}
    assert {name for name in exported if not any(each.startswith(exported[name].name) for each in shown)} == {
        "execution_status_build_info"
    }


def test_every_alert_says_what_to_do_and_where_more_stands() -> None:
    alerts = re.split(r"^ {6}- alert: ", RULES, flags=re.MULTILINE)[1:]
    assert len(alerts) >= 10
    for alert in alerts:
        name = alert.partition("\n")[0]
        assert re.search(r"severity: (critical|warning)$", alert, re.MULTILINE), name
        for part in ("summary: ", "description: >-", f"runbook_url: docs/monitoring.md#{name.lower()}"):
            assert part in alert, name
        assert f"\n### {name}\n" in PAGE
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == [alert.partition("\n")[0] for alert in alerts]


@with_promtool
def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", DOCS / "monitoring" / "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@with_promtool
def test_each_alert_fires_on_what_it_is_for_and_none_on_a_quiet_day() -> None:
    checked = promtool("test", "rules", DOCS / "monitoring" / "alerts_test.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@with_promtool
def test_the_scrape_on_the_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "prometheus.yml"
    file.write_text(block)
    checked = promtool("check", "config", "--syntax-only", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_can_be_imported_anywhere() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "Executions",
        "Failures",
        "Runners",
        "Projection",
        "Streams",
    ]
    variables = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query"}
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"] and panel["description"], panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    taken = {(x, y) for p in PANELS for x in _across(p, "x", "w") for y in _across(p, "y", "h")}
    assert len(taken) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in PANELS), "panels lie over each other"


def _across(panel: dict[str, Any], place: str, size: str) -> range:
    begin: int = panel["gridPos"][place]
    return range(begin, begin + panel["gridPos"][size])


@with_promtool
def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = {
        "groups": [
            {
                "name": "dashboard",
                "rules": [
                    {
                        "record": f"panel:{number}",
                        "expr": query.replace("$__rate_interval", "5m").replace("$job", ".*"),
                    }
                    for number, query in enumerate(QUERIES)
                ],
            }
        ]
    }
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps(rules))  # JSON is YAML
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(QUERIES)} rules found" in checked.stdout
