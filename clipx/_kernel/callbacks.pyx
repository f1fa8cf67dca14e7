# cython: language_level=3
# cython: freethreading_compatible=True
"""Methods that C code calls back. They are C themselves, so that no interrupt comes before it can be caught.

Python raises KeyboardInterrupt where a Python function begins, before any `try` of it, and mostly there: the signal
came while C code ran. A class takes these functions as its methods, and has `_read`, `_seek` and `_tell` for them to
call. What they raise that is not an Exception becomes `self._interrupted(exn)`.
"""


cdef call(self, method, tuple args):
    try:
        return method(*args)
    except Exception:
        raise
    except BaseException as exn:
        raise self._interrupted(exn) from exn


def read(self, size):
    """The result of `_read`."""
    return call(self, self._read, (size,))


def seek(self, offset, whence=0):
    """The result of `_seek`."""
    return call(self, self._seek, (offset, whence))


def tell(self):
    """The result of `_tell`."""
    return call(self, self._tell, ())
