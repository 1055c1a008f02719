"""The suite with an empty cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cmmlib.suites import load_suite
from cmmlib.suites.mini.suite import MiniSuite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniSuite]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_suite("mini")
