"""The report of a finished ``cmm reproduce`` run: one self-contained HTML file to send to a colleague."""

from .page import write_report

__all__ = ["write_report"]
