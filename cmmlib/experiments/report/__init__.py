"""One HTML file of a finished ``cmm reproduce`` run, with everything in it, to send to a colleague."""

from .page import write_report

__all__ = ["write_report"]
