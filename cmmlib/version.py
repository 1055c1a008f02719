"""The version of cmmlib."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cmmlib")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
