"""What is known of the versions of PyAV that tests run with."""

import av
import pytest

HAS_PYAV_17 = int(av.__version__.partition(".")[0]) < 18


def fails_on_pyav_17(reason):
    """Marks a test that fails with FFmpeg 8.1.1 of PyAV 17, the last for Python 3.10."""
    return pytest.mark.xfail(HAS_PYAV_17, reason=reason, strict=False)


partial_samples = fails_on_pyav_17("its FFmpeg refuses a last packet of PCM that holds part of a sample alone")
