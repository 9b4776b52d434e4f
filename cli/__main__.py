"""Main: lets `python -m cli` be the `rooms` command."""

from cli.main import run

run()
