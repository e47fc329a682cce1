"""Fixtures that tests of several files share."""

from tests.integration.real_openclaw import openclaw

__all__ = ["openclaw"]
