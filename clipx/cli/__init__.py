"""The command line."""

from clipx.cli.main import main

__all__ = ["main"]
