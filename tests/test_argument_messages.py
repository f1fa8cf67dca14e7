"""Errors about arguments of the values name the argument, its value and the rule."""

import re

import pytest

from clipx import ClipPool, mapped, memory

POOL = ClipPool(4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ClipPool(4, 4, "foo"), TypeError, "dtype is 'foo', but must be a NumPy dtype such as 'uint8'"),
        (lambda: ClipPool(4, 4, None), TypeError, "dtype is None, but must be a NumPy dtype"),
        (lambda: POOL.acquire(dtype="foo"), TypeError, "dtype is 'foo', but must be a NumPy dtype"),
        (
            lambda: ClipPool.of_bytes(None),
            TypeError,
            "size is None, but must be a number of bytes, an integer or such as",
        ),
        (lambda: ClipPool.of_bytes(1.5), TypeError, "size is 1.5, but must be a number of bytes"),
        (lambda: mapped.open(5), TypeError, "path is 5, but must be the path of a local file"),
        (lambda: list(mapped.members(None)), TypeError, "path is None, but must be the path of a local file"),
        (lambda: memory.Meter("1"), TypeError, "interval is '1', but must be a number of seconds"),
        (lambda: memory.check(3), TypeError, "sample is a int, but must be a mapping such as a dict"),
        (lambda: memory.Meter().peak, RuntimeError, "the meter has not started"),
        (lambda: memory.Meter().start, RuntimeError, "the meter has not started"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
