"""Ray, started once for all tests that need it."""

from collections.abc import Iterator

import pytest

from cmmlib.experiments.ray_connection import connected


@pytest.fixture(scope="package")
def ray_here() -> Iterator[None]:
    """Ray on this machine, with room for two workers; without Ray the test is skipped."""
    pytest.importorskip("ray", reason="Ray is missing; to have it: pip install -e '.[ray]'")
    with connected("local", 2):
        yield
