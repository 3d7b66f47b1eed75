"""The ledger that a release left behind (see the README beside this), restored: its database, and its topics."""

import gzip
import json
import tarfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.catalogue import INPUT_TOPICS
from tests.kit.produce import Sent, anywhere, produce
from tests.kit.world import PARTITIONS, World
from worker.kafka.topics import input_topic_specs, output_topic_specs

FOLDER = Path(__file__).parent


class Release:
    """One folder beside this file."""

    def __init__(self, name: str) -> None:
        self.folder = FOLDER / name
        self.made = json.loads((self.folder / "made.json").read_text())
        self.policy_file = self.folder / "policy.toml"

    @property
    def now(self) -> datetime:
        """Up to when it had decided."""
        return datetime.fromisoformat(self.made["now"])

    @property
    def later(self) -> datetime:
        """A time after all that it had not read yet."""
        return datetime.fromisoformat(self.made["later"])

    @property
    def grace(self) -> timedelta:
        """The settlement grace that it ran with."""
        return timedelta(seconds=self.made["grace_seconds"])

    @property
    def said(self) -> dict[str, Any]:
        """What its `history` and `explain` printed, by freelancer."""
        said: dict[str, Any] = json.loads(gzip.decompress((self.folder / "said.json.gz").read_bytes()))
        return said

    def restore_code(self, folder: Path) -> Path:
        """Its own code, to be run by this interpreter: a folder in which `python -m worker` is that release."""
        with tarfile.open(self.folder / "source.tar.gz") as source:
            source.extractall(folder, filter="data")
        return folder

    async def restore_database(self, database_url: str) -> None:
        """Fill an empty database with its ledger. The worker that led it has been dead for long."""
        dump = gzip.decompress((self.folder / "ledger.sql.gz").read_bytes()).decode()
        statements = [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute("\n".join(statements))
            await connection.execute("UPDATE public.leader SET lease_until = '-infinity'")
        finally:
            await connection.close()

    async def restore_topics(self, world: World) -> None:
        """Fill fresh topics with its records, each in its partition, and those of the input at their offsets."""
        assert self.made["partitions"] == PARTITIONS
        records = sorted(self._records("topics"), key=lambda record: (record["topic"], record["offset"]))
        await _let_timestamps_be_anything(world.kafka, world.prefix)
        await world.produce(_sent(record) for record in records if record["topic"] in INPUT_TOPICS)
        outputs = [_sent(record) for record in records if record["topic"] not in INPUT_TOPICS]
        await produce(world.kafka, world.prefix, outputs, anywhere(PARTITIONS, seed=0))
        offsets = {(r["topic"], r["partition"]): r["offset"] for r in records if r["topic"] in INPUT_TOPICS}
        assert {place: count - 1 for place, count in world.produced.items()} == offsets, "a gap in an input topic"

    async def produce_later_records(self, world: World) -> None:
        """Produce what it has not read any more."""
        await world.produce(_sent(record) for record in self._records("later"))

    def _records(self, name: str) -> Iterator[dict[str, Any]]:
        with gzip.open(self.folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def releases() -> list[str]:
    """The names of all releases that left something."""
    return sorted(made.parent.name for made in FOLDER.glob("*/made.json"))


def _sent(record: Mapping[str, Any]) -> Sent:
    headers = tuple((name, _bytes(value)) for name, value in record.get("headers", ()))
    return Sent(
        record["topic"],
        _bytes(record["value"]),
        _bytes(record.get("key")),
        headers,
        record["partition"],
        record.get("timestamp"),
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


async def _let_timestamps_be_anything(kafka: Mapping[str, Any], prefix: str) -> None:
    """A broker refuses records that are dated after its own clock, and these keep the timestamps that they had."""
    anything = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, prefix + spec.name, configs={**spec.settings, **anything})
                for spec in (*output_topic_specs(), *input_topic_specs())
            ]
        )
    finally:
        await admin.close()
