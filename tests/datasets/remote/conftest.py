"""A web server, and waits that take no time."""

import numpy as np
import pytest
from helpers.web import serving

from clipx.datasets.remote import retries


@pytest.fixture(scope="module")
def server_of_module():
    with serving() as server:
        yield server


@pytest.fixture
def server(server_of_module):
    """A server without files and faults."""
    server_of_module.reset()
    return server_of_module


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Seconds of the waits between requests, which are not waited."""
    found = []
    monkeypatch.setattr(retries.time, "sleep", found.append)
    return found


@pytest.fixture(scope="session")
def data():
    return np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
