"""What needs no broker to be told of the consumer."""

from aiokafka import client
from aiokafka.protocol.metadata import MetadataRequest_v5

from worker.stream.consumer import forbid_topic_creation


def test_no_client_of_this_process_makes_topics_by_asking_for_them() -> None:
    forbid_topic_creation()
    for topics in ([], ["badge-earned"], None):
        request = client.MetadataRequest(topics).build(MetadataRequest_v5)
        assert request.allow_auto_topic_creation is False
