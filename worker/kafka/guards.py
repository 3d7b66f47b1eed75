"""What every Kafka client of this process has to keep to."""

from worker.kafka.fetching_ends import end_all_fetching
from worker.kafka.input.consumer import forbid_topic_creation
from worker.kafka.input.expansion import limit_expansion


def guard_clients() -> None:
    """Have clients make no topics by asking about them, expand no batch beyond the limit, and end when stopped.

    Called by each module that makes a client, so before any is used. Calling it again changes nothing.
    """
    forbid_topic_creation()
    limit_expansion()
    end_all_fetching()
