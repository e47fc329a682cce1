"""Fixtures that tests of several files share."""

from collections.abc import Generator

import pytest

from tests import forkserver
from tests.integration.real_openclaw import openclaw

__all__ = ["openclaw"]


@pytest.fixture(scope="session", autouse=True)
def forked() -> Generator[None]:
    """Have commands and faces of a house forked: their imports are half of what the tests cost."""
    with forkserver.running():
        yield
