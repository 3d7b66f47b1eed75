class LocalStackError(Exception):
    """Why the embedded stack cannot do what was asked: one sentence what and where, one what to do about it."""
