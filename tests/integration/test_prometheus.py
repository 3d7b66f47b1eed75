"""A real Prometheus reads a real worker: each panel of the dashboard has data, and each alert can be evaluated."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.kit.histories import History
from tests.kit.http import ask, free_port
from tests.kit.produce import by_key
from tests.kit.waiting import until_async
from tests.kit.world import PARTITIONS, World

DEPLOY = Path(__file__).parents[2] / "deploy"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (Debian's package prometheus)"
)


class Prometheus:
    def __init__(self, port: int) -> None:
        self._port = port

    async def answers(self) -> bool:
        return (await ask(self._port, "/-/ready"))[0] == HTTPStatus.OK

    async def asked(self, path: str) -> Any:  # noqa: ANN401
        status, body = await ask(self._port, f"/api/v1/{path}")
        assert status == HTTPStatus.OK, body
        return json.loads(body)["data"]

    async def has_data(self, expression: str) -> bool:
        return bool((await self.asked(f"query?query={quote(expression)}"))["result"])


@asynccontextmanager
async def prometheus(folder: Path, worker_port: int) -> AsyncIterator[Prometheus]:
    """Prometheus with the alerts of deploy/, which reads the worker each second."""
    shutil.copy(DEPLOY / "prometheus" / "connects-alerts.yaml", folder)
    (folder / "prometheus.yaml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["connects-alerts.yaml"],
                "scrape_configs": [
                    {"job_name": "connects", "static_configs": [{"targets": [f"127.0.0.1:{worker_port}"]}]}
                ],
            }
        )
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{(port := free_port())}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        server = Prometheus(port)
        await until_async(server.answers)
        yield server
    finally:
        process.terminate()
        await process.wait()


async def test_each_panel_has_data_and_each_alert_can_be_evaluated(world: World, tmp_path: Path) -> None:
    panels = json.loads((DEPLOY / "grafana" / "connects-worker.json").read_text())["panels"]
    asked = {target["expr"] for panel in panels for target in panel.get("targets", ())}
    await world.connects_run(worker_port := free_port())
    async with prometheus(tmp_path, worker_port) as server:
        await until_async(lambda: server.has_data("connects_active == 1"))
        await world.produce(list(History(7, events=300, jobs=20)), by_key(PARTITIONS))
        await world.settled()

        async def all_have_data() -> bool:
            return not [expression for expression in asked if not await server.has_data(expression)]

        try:
            await until_async(all_have_data)
        except TimeoutError:
            empty = [expression for expression in asked if not await server.has_data(expression)]
            pytest.fail(f"these panels show nothing: {empty}")
        (group,) = (await server.asked("rules"))["groups"]
        assert {rule["name"]: rule["health"] for rule in group["rules"] if rule["health"] != "ok"} == {}
        assert [rule["name"] for rule in group["rules"] if rule["state"] == "firing"] == []
