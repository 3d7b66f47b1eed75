"""`python -m worker` is `connects`."""

from worker.cli import main

main()
