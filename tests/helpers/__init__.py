"""Files, sources and checks that tests of several folders share, in modules that spawned processes import by name."""

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
