"""The benchmarks still run, at a size that says nothing about speed."""

from pathlib import Path

import pytest

from benchmarks.__main__ import parsed, run
from worker.embedded.stack import LocalStack

pytestmark = pytest.mark.in_turn


async def test_the_benchmarks_run(stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--events 1000 --live-seconds 1 --live-rate 100 --renewals 0 --partitions 2"
    figures = await run(stack, tmp_path, parsed(sizes.split()))
    assert figures.keys() == {"catch_up", "live"}
    out = capsys.readouterr().out
    assert "catch-up of 1," in out
    assert "live at " in out


async def test_proving_runs(stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--only proving --decisions 1500 --rate 100 --quiet-seconds 1 --times 1 --partitions 2"
    figures = await run(stack, tmp_path, parsed(sizes.split()))
    proved = figures["proving"]
    assert isinstance(proved, dict)
    assert [one["jobs"] for one in proved["verified"]] == [1, 2]
    for one in proved["verified"]:
        assert one["decisions"] >= proved["decisions"] > 1_000
        assert one["per_second"] > 0
        assert one["ran"]["largest_mib"] > 10
        assert one["ran"]["polls"] > 0
        assert one["beside"]["measured"] > 0
    rows = {one["name"]: one["rows"] for one in proved["asked"]}
    assert rows["history"] > 100
    assert rows["explain"] == rows["explain --again"] > 100
    out = capsys.readouterr().out
    assert "verify --jobs 2: " in out
    assert "explain --again, " in out


async def test_repairing_runs(stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--decisions 1500 --archived 500 --corrections 20 --rate 100 --quiet-seconds 1 --partitions 2"
    figures = await run(stack, tmp_path, parsed(["--only", "repairing", *sizes.split()]))
    repaired = figures["repairing"]
    assert isinstance(repaired, dict)
    assert (repaired["adds"]["read"], repaired["voids"]["read"]) == (500, 20)
    assert 80 <= repaired["adds"]["triggers"] <= 100  # a fifth was lost; some of it had been sent twice
    applied = repaired["applied"]
    assert applied["corrections"] == applied["booked"] + applied["deviated"] + applied["left_out"] > 0
    assert applied["booked"] > 0
    assert applied["worker_peak_mib"] >= applied["worker_peak_before_mib"] > 10
    assert min(repaired[part]["beside"]["measured"] for part in ("adds", "voids", "applied")) > 0
    assert "applying it: " in capsys.readouterr().out


async def test_the_console_runs(stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--decisions 1500 --agents 4 --console-seconds 5 --console-rate 100 --quiet-seconds 1 --partitions 2"
    figures = await run(stack, tmp_path, parsed(["--only", "console", *sizes.split()]))
    looked = figures["console"]
    assert isinstance(looked, dict)
    assert looked["busy_changes"] > 50
    assert sum(one["looks"] for one in looked["pages"]) >= 4
    assert [one["failed"] for one in looked["pages"]] == [{}] * len(looked["pages"])
    assert all(0 < one["p50_ms"] <= one["p99_ms"] <= one["worst_ms"] for one in looked["pages"])
    assert min(looked[part]["measured"] for part in ("before", "beside")) > 0
    assert "4 agents, " in capsys.readouterr().out
