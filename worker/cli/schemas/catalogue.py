"""`connects schemas catalogue`: every topic, message and rule."""

import typer

from worker.words.catalogue import event_catalogue


def command() -> None:
    """Print the event catalogue as Markdown: every topic with its fields and an example, and every rule.

    Example: connects schemas catalogue > event-catalogue.md
    """
    typer.echo(event_catalogue(), nl=False)
