"""Files of arrays to map: headers of every form, shards of members, and what is broken."""

import struct

import numpy as np

from helpers.processes import run_python

RECORD = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3")])


def header(text, body=b"", version=(1, 0)):
    text = text.encode() if isinstance(text, str) else text
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + body


def described(shape, descr="'<f4'", fortran=False, body=bytes(64)):
    return header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", body)


BROKEN = {
    "empty": b"",
    "not npy": b"hello, world" * 20,
    "magic only": b"\x93NUMPY",
    "version 9": described("(2,)").replace(b"\x01\x00", b"\x09\x00", 1),
    "header cut": described("(2,)")[:20],
    "claims more": described("(17,)"),
    "claims far more": described("(2, 1000000000000)"),
    "overflows": described("(4294967296, 4294967296)"),
    "overflows to a little": described("(18446744073709551617,)"),
    "overflows to none": described("(4611686018427387904, 4)"),
    "overflows with none": described("(4611686018427387904, 4611686018427387904, 0)"),
    "huge and none": described("(1000000000000000000000000, 0)"),
    "negative": described("(-2,)"),
    "negative twice": described("(-2, -2)"),
    "negative and none": described("(0, -2)"),
    "truth": described("(True,)"),
    "no tuple": described("4"),
    "floats": described("(2.0,)"),
    "dimensions": described("(" + "1," * 70 + ")"),
    "no dtype": described("(2,)", "None"),
    "bad dtype": described("(2,)", "'<q9'"),
    "empty dtype": described("(99999999999999999999999,)", "'|V0'"),
    "objects": described("(2,)", "'|O'"),
    "structured objects": described("(2,)", "[('a', '<i4'), ('b', '|O')]"),
    "subarray of objects": described("(2,)", "[('b', '|O', (2,))]"),
    "unclosed": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,", bytes(64)),
    "many frames of nothing": described((10**9, 3, 0)),
    "many numbers of nothing": described((10**9,), "'|V0'"),
    "unclosed text": header("{'descr': '''<f4, 'fortran_order': False, 'shape': (2,)}", bytes(64)),
    "nested": header("(" * 60000, bytes(64)),
    "nested brackets": header("[" * 190 + "]" * 190, bytes(64)),
    "minuses": header("{'descr': " + "-" * 60000 + "1}", bytes(64)),
    "no dict": header("[1, 2]", bytes(64)),
    "lists as keys": header("{[]: 1}", bytes(64)),
    "calls": header("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (2,)}", bytes(64)),
    "large header": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}" + " " * (1 << 20), b"", (2, 0)),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
}


def run_code(code, *arguments, timeout=20):
    """Runs code in another Python: (return code, output)."""
    ran = run_python("-c", code, *map(str, arguments), timeout=timeout)
    return ran.returncode, ran.stdout + ran.stderr
