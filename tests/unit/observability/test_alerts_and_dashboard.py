"""The alerts and the dashboard in deploy/ speak of metrics that there are, and of sections that there are."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from worker.observability import REGISTRY

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy" / "prometheus" / "connects-alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "connects-worker.json"
PROMTOOL = shutil.which("promtool")
NAME = r"connects_\w+"


SUFFIXES = {"counter": "_total", "histogram": "_bucket"}
METRICS = {metric.name + SUFFIXES.get(metric.type, ""): metric.documentation for metric in REGISTRY.collect()}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return asked + re.findall(r"^ *expr: (.+)$", ALERTS.read_text(), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_metric_that_is_asked_for_exists() -> None:
    for expression in expressions():
        names = set(re.findall(NAME, expression))
        assert names, expression
        assert names <= METRICS.keys(), expression


def test_every_metric_is_on_the_dashboard_and_each_that_says_alarm_has_an_alert() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in re.findall(NAME, target["expr"])}
    alerts = set(re.findall(NAME, ALERTS.read_text()))
    assert METRICS.keys() - shown - alerts == set()
    assert {name for name, says in METRICS.items() if "Alarm" in says} - alerts == set()


def test_every_alert_names_a_section_that_says_what_to_do() -> None:
    named = re.findall(r"^ *runbook: (\S+)#(\S+)$", ALERTS.read_text(), re.MULTILINE)
    assert len(named) == ALERTS.read_text().count("- alert:")
    for page, anchor in named:
        assert anchor in anchors(ROOT / page), f"{page} has no section #{anchor}"


def test_the_panels_of_the_dashboard_do_not_lie_over_each_other() -> None:
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")
@pytest.mark.parametrize("arguments", [["check", "rules", ALERTS.name], ["test", "rules", "connects-alerts-test.yaml"]])
async def test_alerts_are_raised_when_they_should_be_and_only_then(arguments: list[str]) -> None:
    ran = await asyncio.create_subprocess_exec(
        str(PROMTOOL), *arguments, cwd=ALERTS.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await ran.communicate()
    assert ran.returncode == 0, output.decode()
