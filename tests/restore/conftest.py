"""The instance and the authority of the comparison's tests."""

from tests.comparison.conftest import here, there

__all__ = ["here", "there"]
