"""`connects`: the one command. Each command is a file of this room, with the page that it prints."""

from worker.cli._app import app, main

__all__ = ["app", "main"]
