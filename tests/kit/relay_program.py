"""A relay as a process of its own that is killed or stopped at a point it chooses itself.

Arguments: database URL, Kafka, topic prefix, point, signal (KILL or STOP), how many batches. It leads the next epoch,
commits the batches one after the other and publishes each; at the last one's point it sends itself the signal.
"""

import asyncio
import os
import signal
import sys

from tests.kit.ledger import Ledger, wallet_updated
from worker.errors import LeadershipLost
from worker.kafka.output.relay import Relay


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(arguments: list[str]) -> None:
    url, kafka, prefix, point, name, count = arguments
    ledger = await Ledger.connect(url)
    epoch = await ledger.take_over()
    version = 0

    def reached(here: str) -> None:
        if here == point and version == int(count):
            say(f"at {here}")
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])

    relay = Relay({"bootstrap_servers": kafka}, prefix, ledger.ledger_id, ledger, reached=reached)
    await relay.open(epoch)
    running = asyncio.create_task(relay.run())
    for version in range(1, int(count) + 1):  # `reached` looks at it
        relay.offer(await ledger.commit(*(wallet_updated(f"f-{n}", version) for n in range(5))))
        if version < int(count):
            await relay.drain()
    try:
        await running
    except LeadershipLost:
        say("lost")


asyncio.run(main(sys.argv[1:]))
