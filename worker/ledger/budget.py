"""How many connections to PostgreSQL a worker has."""

from typing import Final

OTHERS: Final = 5
"""A leader's connections besides the readers: lease, writer, relay, dead letters, and one to spare.

The spare one watches a takeover and takes samples for the metrics, each now and then.
"""
LEAST: Final = OTHERS + 1
"""With fewer a worker cannot lead."""
MOST_BY_DEFAULT: Final = 10
STANDBY: Final = 2
"""What a standby has at most: the one that follows the lease, and the spare one while it takes over."""
