"""Every way in which a setting may be wrong, with what has to be said of it: the table of test_first_contact.py."""

from dataclasses import dataclass, field

from tests.kit.secrets_in import PARTS

PASSWORD = "Wq7Zk9Xv"  # noqa: S105 - made up, and looked for in all that is printed
D, M, S, P = "DATABASE_URL", "CONNECTS_MIGRATE_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL"
SASL = {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": PASSWORD}
ASK = ("status", "history f-1", "parked release wallet f-1")
KAFKA_IS_ASKED = ("status --json", "topics create", "relay show")
EVERY = ("settings", "migrate", "status", "history f-1", "topics create", "parked list", "policy show")


@dataclass(frozen=True)
class Places:
    """Where things are, for the values of the table: attributes in braces."""

    pg: str  # host:port of PostgreSQL
    kafka: str
    db: str  # a migrated ledger's name
    empty: str  # a database without one
    read_only: str
    schemaless: str
    foreign: str  # one with another program's migrations
    nobody: str  # a role that may log in, and nothing else
    closed: str
    silent: str
    http: str
    ssh: str
    gone: str
    denied: str


@dataclass(frozen=True)
class Case:
    """One wrong setting: what it is set to, the commands that meet it, their exit code, and words of the line."""

    name: str
    commands: tuple[str, ...]
    code: int
    words: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    env_file: bytes | None = None
    files: dict[str, bytes] = field(default_factory=dict)


def wrong_database(name: str, url: str, code: int, *words: str, commands: tuple[str, ...] = ("migrate", *ASK)) -> Case:
    return Case(name, commands, code, (D, *words), {D: url})


def wrong_kafka(name: str, code: int, *words: str, **settings: str) -> Case:
    return Case(name, KAFKA_IS_ASKED, code, words, settings)


def wrong_everywhere(name: str, *words: str, settings: dict[str, str] | None = None, **more: object) -> Case:
    return Case(name, EVERY, 2, words, settings or {}, **more)  # type: ignore[arg-type]


CASES = [
    # DATABASE_URL, as it is typed
    *(
        wrong_everywhere(
            f"a raw {odd} in the password of {name}",
            *(name, "percent-encode", f"{odd[0]} as %"),
            settings={name: f"postgresql://u:{odd.join(PARTS)}@{{denied}}/d"},
        )
        for odd in ("#", "/", "?", "[", "]", "#@/")
        for name in (D, M)
    ),
    *(
        Case(
            f"a raw {odd} in a password",
            ("migrate", "status"),
            2,
            (D, "password"),
            {D: f"postgresql://u:{odd.join(PARTS)}@{{denied}}/d"},
        )
        for odd in ("@", "%", "%2", "%FF", "&", "+", " ", '"', ":", "é")
    ),
    wrong_everywhere("a password without a host", D, "postgresql://", settings={D: f"postgresql://u:{PASSWORD}"}),
    wrong_everywhere(
        "a database's port 70000", D, "70000", "65535", settings={D: f"postgresql://u:{PASSWORD}@h:70000/d"}
    ),
    wrong_everywhere("a database's port 0", D, "65535", settings={D: f"postgresql://u:{PASSWORD}@h:0/d"}),
    wrong_everywhere("another scheme", D, "postgresql://", settings={D: f"mysql://u:{PASSWORD}@h/d"}),
    wrong_everywhere("a host that is no name", D, "looked up", settings={D: f"postgresql://u:{PASSWORD}@a..b/d"}),
    wrong_everywhere("no Kafka", S, "not set", settings={S: ""}),
    # PostgreSQL, as it answers
    wrong_database("a wrong password", f"postgresql://u:{PASSWORD}@{{denied}}/d", 2, "password", "'u'"),
    wrong_database("no such database", "postgresql://postgres@{pg}/{db}_none", 2, "{db}_none"),
    wrong_database("no such role", f"postgresql://{{nobody}}_x:{PASSWORD}@{{pg}}/{{db}}", 2, "{nobody}_x"),
    wrong_database("no database named", f"postgresql://{{nobody}}_x:{PASSWORD}@{{pg}}", 2, "{nobody}_x"),
    wrong_database(
        "HTTP where PostgreSQL should be", f"postgresql://u:{PASSWORD}@{{http}}/d", 2, "{http}", "no PostgreSQL", "HTTP"
    ),
    wrong_database(
        "Kafka where PostgreSQL should be", f"postgresql://u:{PASSWORD}@{{kafka}}/d", 2, "no PostgreSQL", "Kafka"
    ),
    wrong_database("SSH where PostgreSQL should be", f"postgresql://u:{PASSWORD}@{{ssh}}/d", 2, "no PostgreSQL"),
    wrong_database(
        "a silent database",
        f"postgresql://u:{PASSWORD}@{{silent}}/d",
        1,
        "{silent}",
        "Is it running?",
        commands=("migrate",),
    ),
    wrong_database("a database that hangs up", f"postgresql://u:{PASSWORD}@{{gone}}/d", 1, "{gone}", "Is it running?"),
    wrong_database("a closed database port", f"postgresql://u:{PASSWORD}@{{closed}}/d", 1, "{closed}", "refused"),
    wrong_database(
        "a database host that does not resolve",
        f"postgresql://u:{PASSWORD}@db.example.invalid/d",
        1,
        "db.example.invalid",
        "resolve",
    ),
    wrong_database("an unknown parameter", "postgresql://postgres@{pg}/{db}?sslmod=require", 2, "sslmod", "sslmode"),
    wrong_database(
        "a parameter's wrong value", "postgresql://postgres@{pg}/{db}?statement_timeout=soon", 2, "statement_timeout"
    ),
    wrong_database(
        "a mode of TLS that does not exist", "postgresql://postgres@{pg}/{db}?sslmode=yes", 2, "sslmode", "require"
    ),
    *(
        wrong_database(
            f"a promise that cannot be kept: {name}",
            f"postgresql://postgres@{{pg}}/{{db}}?{name}={value}",
            *(2, name, *words),
            commands=("migrate", "status", "history f-1"),
        )
        for name, value, *words in (
            ("channel_binding", "require", "sslmode=verify-full"),
            ("gssencmode", "require"),
            ("client_encoding", "LATIN1", "UTF8"),
            ("require_auth", "scram-sha-256"),
            ("sslmode", "verify-full", "sslrootcert"),
        )
    ),
    Case(
        "a promise that cannot be kept, to the schema's owner",
        ("migrate", "settings"),
        2,
        (M, "channel_binding"),
        {M: "postgresql://postgres@{pg}/{db}?channel_binding=require"},
    ),
    wrong_database(
        "the system's authorities and a server without TLS",
        "postgresql://postgres@{pg}/{db}?sslmode=verify-full&sslrootcert=system",
        2,
        "TLS",
    ),
    wrong_database("TLS of a server without", "postgresql://postgres@{pg}/{db}?sslmode=require", 2, "TLS", "sslmode"),
    wrong_database(
        "an authority that is no file",
        "postgresql://postgres@{pg}/{db}?sslmode=verify-full&sslrootcert=/no/ca",
        2,
        "sslrootcert",
        "/no/ca",
    ),
    wrong_database(
        "no right to create tables",
        "postgresql://{nobody}@{pg}/{empty}",
        2,
        M,
        "create",
        "'public'",
        commands=("migrate",),
    ),
    wrong_database(
        "a read-only database", "postgresql://postgres@{pg}/{read_only}", 2, "read-only", commands=("migrate",)
    ),
    wrong_database(
        "a schema that is not there", "postgresql://postgres@{pg}/{schemaless}", 2, "search_path", commands=("migrate",)
    ),
    wrong_database(
        "another program's migrations",
        "postgresql://postgres@{pg}/{foreign}",
        2,
        "alembic_version",
        commands=("migrate",),
    ),
    wrong_database(
        "no right to read the ledger", "postgresql://{nobody}@{pg}/{db}", 2, M, commands=("status", "history f-1")
    ),
    Case("no ledger", ("status", "history f-1"), 1, ("connects migrate",), {D: "postgresql://postgres@{pg}/{empty}"}),
    Case(
        "an owner who is not let in", ("migrate",), 2, (M, "password"), {M: f"postgresql://u:{PASSWORD}@{{denied}}/d"}
    ),
    Case(
        "a port of the environment",
        ("migrate", "status"),
        2,
        ("PGPORT", "65535"),
        {D: "postgresql://h/d", "PGPORT": "many"},
    ),
    Case(
        "a worker's role that does not exist",
        ("migrate",),
        2,
        (D, "{nobody}_x", "CREATE ROLE"),
        {M: "postgresql://postgres@{pg}/{db}", D: "postgresql://{nobody}_x@{pg}/{db}"},
    ),
    # KAFKA_*, as it is typed
    wrong_everywhere("a broker's port 70000", S, "70000", "65535", settings={S: "127.0.0.1:70000"}),
    wrong_everywhere("a broker's port 0", S, "65535", settings={S: "127.0.0.1:0"}),
    wrong_everywhere("a broker without a port", S, "host:port", settings={S: "127.0.0.1"}),
    wrong_everywhere("a URL for brokers", S, "host:port", settings={S: f"kafka://u:{PASSWORD}@127.0.0.1:9092"}),
    wrong_everywhere("another protocol", P, "SASL_SSL", settings={P: "TLS"}),
    wrong_everywhere("a password without SASL", P, "KAFKA_SASL_", settings=SASL),
    wrong_everywhere(
        "SASL without a password", "KAFKA_SASL_PASSWORD", settings={P: "SASL_SSL", **SASL, "KAFKA_SASL_PASSWORD": ""}
    ),
    wrong_everywhere(
        "an authority for Kafka that is no file",
        "KAFKA_SSL_CAFILE",
        "no file /no/ca",
        settings={P: "SSL", "KAFKA_SSL_CAFILE": "/no/ca"},
    ),
    # Kafka, as it answers
    wrong_kafka("a closed broker port", 1, S, "{closed}", "refused", **{S: "{closed}"}),
    wrong_kafka("HTTP where Kafka should be", 2, S, "{http}", "no Kafka", "HTTP", **{S: "{http}"}),
    wrong_kafka("PostgreSQL where Kafka should be", 2, S, "no Kafka", "PostgreSQL", **{S: "{pg}"}),
    wrong_kafka("SSH where Kafka should be", 2, S, "no Kafka", **{S: "{ssh}"}),
    wrong_kafka("a broker that hangs up", 1, S, "{gone}", **{S: "{gone}"}),
    wrong_kafka(
        "a broker that does not resolve", 1, S, "kafka.example.invalid", "resolve", **{S: "kafka.example.invalid:9092"}
    ),
    wrong_kafka("TLS against plaintext", 2, P, "=SSL", "TLS", "PLAINTEXT", **{S: "{kafka}", P: "SSL"}),
    wrong_kafka("SASL against plaintext", 2, P, "=SASL_PLAINTEXT", "SASL", **{P: "SASL_PLAINTEXT", **SASL}),
    wrong_kafka("SASL over TLS against plaintext", 2, P, "=SASL_SSL", **{P: "SASL_SSL", **SASL}),
    Case("a silent broker", ("topics create",), 1, (S, "{silent}"), {S: "{silent}"}),
    # .env
    wrong_everywhere("a .env in UTF-16", ".env", "UTF-8", env_file="CONNECTS_BATCH_SIZE=77\n".encode("utf-16")),
    wrong_everywhere(
        "a .env in Latin-1",
        ".env",
        "line 2",
        "UTF-8",
        env_file=f"A=1\nKAFKA_SASL_PASSWORD={PASSWORD}é\n".encode("latin-1"),
    ),
    wrong_everywhere(
        "a line of .env that sets nothing",
        ".env",
        "line 2",
        "NAME=value",
        env_file=f"# x\nDATABASE_URL {PASSWORD}\n".encode(),
    ),
    wrong_everywhere(
        "a quote of .env that is not closed", ".env", "line 1", env_file=f'KAFKA_SASL_PASSWORD="{PASSWORD}\n'.encode()
    ),
    wrong_everywhere(
        "a wrong value in .env",
        ".env",
        "line 1",
        "CONNECTS_BATCH_SIZE",
        "seven",
        env_file=b"CONNECTS_BATCH_SIZE=seven\n",
    ),
    Case(
        "a mistyped name in .env",
        ("settings",),
        1,
        (".env", "line 1", "CONNECTS_MIGRATEURL"),
        {},
        f"CONNECTS_MIGRATEURL={PASSWORD}\n".encode(),
    ),
    Case(
        "a mistyped name",
        ("settings",),
        1,
        ("CONNECTS_BATCHSIZE", "CONNECTS_BATCH_SIZE"),
        {"CONNECTS_BATCHSIZE": PASSWORD},
    ),
    # Files and numbers
    wrong_everywhere(
        "a policy that is not there", "CONNECTS_POLICY", "nowhere.toml", settings={"CONNECTS_POLICY": "nowhere.toml"}
    ),
    wrong_everywhere(
        "a policy with a name that is too long",
        "CONNECTS_POLICY",
        "too long",
        settings={"CONNECTS_POLICY": "x" * 5_000},
    ),
    Case(
        "a policy that is no TOML",
        ("history f-1",),
        2,
        ("CONNECTS_POLICY", "mine.toml", "line 1"),
        {"CONNECTS_POLICY": "mine.toml"},
        files={"mine.toml": b"[[version\n"},
    ),
    Case(
        "a policy that is no text",
        ("history f-1",),
        2,
        ("CONNECTS_POLICY", "line 1", "UTF-8"),
        {"CONNECTS_POLICY": "mine.toml"},
        files={"mine.toml": b"# \xfc\n"},
    ),
    wrong_everywhere(
        "a batch size that is no number", "CONNECTS_BATCH_SIZE", "many", settings={"CONNECTS_BATCH_SIZE": "many"}
    ),
    wrong_everywhere(
        "an HTTP port out of range", "CONNECTS_HTTP_PORT", "65535", settings={"CONNECTS_HTTP_PORT": "65536"}
    ),
    wrong_everywhere("a log level that is none", "LOG_LEVEL", "loud", settings={"LOG_LEVEL": "loud"}),
]
