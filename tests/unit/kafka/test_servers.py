import pytest

from worker.kafka.servers import Server, listed_servers


def test_a_list_of_servers_is_read() -> None:
    assert listed_servers("a:1,b.example:9092,[::1]:65535") == (
        Server("a", 1),
        Server("b.example", 9092),
        Server("::1", 65535),
    )
    assert [str(server) for server in listed_servers("a:1,[::1]:2")] == ["a:1", "[::1]:2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("broker", "host:port"),
        ("broker:", "host:port"),
        (":9092", "host:port"),
        ("kafka://127.0.0.1:9092", "host:port"),
        ("a:1, b:2", "host:port"),
        ("a:1,", "host:port"),
        ("a:1;b:2", "host:port"),
        ("a:http", "host:port"),
        ("::1:9092", r"\[::1\]:9092"),
        ("a:70000", "the port of a:70000 should be from 1 to 65535"),
        ("a:1,b:0", "the port of b:0 should be from 1 to 65535"),
        ("a..b:1", "no name that can be looked up"),
        (f"{'x' * 64}:1", "no name that can be looked up"),
    ],
)
def test_what_can_be_no_server_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        listed_servers(text)


def test_an_entry_that_may_hold_a_password_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="host:port") as refused:
        listed_servers("kafka://u:Wq7Zk9@h:1")
    assert "Wq7Zk9" not in str(refused.value)
