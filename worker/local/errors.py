class LocalStackError(Exception):
    """Why the embedded stack cannot do what was asked: one sentence what and where, one what to do about it."""


class WrongFolder(LocalStackError):
    """The folder that was named for the stack cannot be one: the user has to name another. Exit 2."""
