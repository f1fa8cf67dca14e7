"""From Y'CbCr samples to R'G'B': the matrix of a colorspace, and the kernel's numbers for it."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

__all__ = [
    "COLORSPACES",
    "NOT_CONVERTED",
    "RANGES",
    "STATED",
    "ColorRange",
    "Colorspace",
    "Matrix",
    "color_numbers",
    "matrix",
]

Colorspace = Literal["bt601", "bt709", "bt2020", "fcc", "smpte240m"]
ColorRange = Literal["limited", "full"]

COLORSPACES = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "fcc": (0.3, 0.11),
    "smpte240m": (0.212, 0.087),
}
"""Kr and Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance), of FCC title 47 and of SMPTE 240M."""

STATED = {
    0: "bt601",
    1: "bt709",
    2: "bt601",
    3: "bt601",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
}
"""The colorspace of each number that a file may state, MatrixCoefficients of ITU-T H.273 (FFmpeg's AVColorSpace).

Unspecified and reserved numbers, and RGB for pictures that are not, mean BT.601, as in FFmpeg's swscale."""

NOT_CONVERTED = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from primaries",
    13: "derived from primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
"""Colorspaces that FFmpeg does not convert either: they are more than a matrix of Kr and Kb."""

RANGES: tuple[ColorRange, ...] = get_args(ColorRange)


class Matrix(NamedTuple):
    """r = y * (Y - offset) + rv * V, g = y * (Y - offset) + gu * U + gv * V, b = y * (Y - offset) + bu * U.

    Y, U and V are samples, U and V less their centre; r, g and b are in [0, 255].
    """

    y: float
    offset: int
    rv: float
    gu: float
    gv: float
    bu: float


def matrix(colorspace: str, color_range: str, bits: int) -> Matrix:
    """The matrix of a colorspace, for samples of `bits` bits (ITU-R BT.601-7 and BT.2100-2, quantization)."""
    kr, kb = COLORSPACES[colorspace]
    kg = 1 - kr - kb
    if color_range == "full":
        y = c = 255 / (2**bits - 1)
        offset = 0
    else:
        scale = 2 ** (bits - 8)
        y, c, offset = 255 / (219 * scale), 255 / (224 * scale), 16 * scale
    gu, gv = -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg
    return Matrix(y, offset, 2 * (1 - kr) * c, gu * c, gv * c, 2 * (1 - kb) * c)


def color_numbers(
    colorspace: str, color_range: str, bits: int, high_bits: bool = False
) -> tuple[int, int, int, int, int, int, int, int, int]:
    """The numbers of the kernel's clipx_color; `high_bits` for samples in the upper bits of 16.

    A sample of b bits is shifted to 15 bits (luma) or 16 bits around 0 (chroma), so that with mulr's division by 2^15 a
    factor f becomes f * 2^(b + 5) for luma and f * 2^(b + 4) for chroma, and the sum has 5 bits of fraction.
    """
    m = matrix(colorspace, color_range, bits)
    luma, chroma = 2 ** (bits + 5), 2 ** (bits + 4)
    shifts = (0, 1, 0) if high_bits else (15 - bits, 0, 16 - bits)
    factors = (round(each * chroma) for each in (m.rv, m.gu, m.gv, m.bu))
    return (*shifts, round(m.y * luma), round(16 - 32 * m.y * m.offset), *factors)
