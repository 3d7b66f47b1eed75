"""Answers of a real Kafka that carry an error, come too late, or do not come: as while brokers fail over (F12).

Some requests of the worker's clients are answered wrongly. The broker has then done what it was asked
for, as often in life: an append or a commit that was refused may have taken place all the same.
"""

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.types import Array, Schema

_MOVED: Final = (errors.NotLeaderForPartitionError, errors.LeaderNotAvailableError)
_COORDINATOR: Final = (
    errors.CoordinatorNotAvailableError,
    errors.NotCoordinatorError,
    errors.CoordinatorLoadInProgressError,
)
ERRORS: Final[dict[str, tuple[type[errors.KafkaError], ...]]] = {
    "ProduceRequest": (*_MOVED, errors.NotEnoughReplicasAfterAppendError, errors.RequestTimedOutError),
    "FetchRequest": _MOVED,
    "OffsetRequest": _MOVED,
    "FindCoordinatorRequest": (errors.CoordinatorNotAvailableError,),
    "InitProducerIdRequest": (*_COORDINATOR, errors.ConcurrentTransactions),
    "AddPartitionsToTxnRequest": (*_COORDINATOR, errors.ConcurrentTransactions),
    "EndTxnRequest": (*_COORDINATOR, errors.ConcurrentTransactions),
    "OffsetCommitRequest": _COORDINATOR,
}
"""Which errors a broker answers these requests with while partitions and coordinators move."""


_HOW: Final = ("refused", "lost on the way", "lost on the way back")


def answer_wrongly(seed: int, every: int, while_file: Path) -> None:
    """While the file exists, each so-manieth request of a kind is answered wrongly, in turn in all ways."""
    chance = random.Random(seed)
    send = AIOKafkaClient.send
    asked: Counter[str] = Counter()

    def how_wrong(name: str) -> str | None:
        asked[name] += 1
        turn, rest = divmod(asked[name] + seed, every)
        if rest or not while_file.exists():
            return None
        how = _HOW[turn % len(_HOW)]
        how = "lost on the way" if how == "refused" and name not in ERRORS else how
        sys.stdout.write(f"answered wrongly: {name}, {how}\n")
        return how

    async def answering(self: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:  # noqa: ANN401
        name = type(request).__name__
        how = how_wrong(name)
        if how == "lost on the way":
            raise errors.KafkaConnectionError(f"made to lose a {name}")
        answer = await send(self, node, request, **options)
        if how == "lost on the way back":
            raise errors.RequestTimedOutError
        return answer if how is None else with_error(answer, chance.choice(ERRORS[name]).errno)

    AIOKafkaClient.send = answering  # type: ignore[method-assign]


def with_error(answer: Any, code: int) -> Any:  # noqa: ANN401 - aiokafka makes the classes of answers at run time
    """The same answer with this code wherever one is; of a fetch, only where its partitions have theirs."""
    schema = type(answer).SCHEMA
    values = [getattr(answer, name) for name in schema.names]
    nested = any(isinstance(kind, Array) for kind in schema.fields)
    return type(answer)(*_coded(schema, values, code, own=not nested))


def _coded(schema: Schema, values: list[Any], code: int, *, own: bool = True) -> list[Any]:
    coded: list[Any] = []
    for name, kind, value in zip(schema.names, schema.fields, values, strict=True):
        if name == "error_code" and own:
            coded.append(code)
        elif isinstance(kind, Array) and isinstance(kind.array_of, Schema) and value:
            coded.append([tuple(_coded(kind.array_of, list(item), code)) for item in value])
        else:
            coded.append(value)
    return coded
