"""Command line `aezoo`."""

from aezoo.cli.program import main as main
