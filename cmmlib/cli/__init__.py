"""The command ``cmm``."""

from .main import main

__all__ = ["main"]
