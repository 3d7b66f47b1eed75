"""How the code under test logs."""

import structlog


def log_plainly() -> None:
    """Show tracebacks without boxes and local variables: drawing those takes longer than a lease, or a transaction."""
    structlog.reset_defaults()
    shown = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], shown])
