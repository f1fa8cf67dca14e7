"""Sequence parameter sets of H.264, written bit by bit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clipx.video.parameter_sets import sequences


class Bits:
    def __init__(self):
        self.text = ""

    def u(self, count, value):
        self.text += f"{value:0{count}b}" if count else ""

    def ue(self, value):
        number = f"{value + 1:b}"
        self.text += "0" * (len(number) - 1) + number

    def unit(self):
        """A NAL unit of type 7, with what keeps start codes out of it."""
        text = self.text + "1"
        data = int(text, 2) << -len(text) % 8
        plain = data.to_bytes((len(text) + 7) // 8, "big")
        out = bytearray()
        for byte in plain:
            if byte <= 3 and out[-2:] == b"\0\0":
                out.append(3)
            out.append(byte)
        return b"\x67" + bytes(out)


def draw_usability(draw, bits):
    """Append whether there is a VUI, and one (H.264 E.1.1); returns how far it says that frames are reordered."""
    flag, number, reordered = st.booleans(), st.integers(0, 40), None
    has_vui = draw(flag)
    bits.u(1, has_vui)
    if not has_vui:
        return None
    for parts in (lambda: bits.u(40, 255 << 32 | 7), lambda: bits.u(1, 1), lambda: bits.u(29, 5 << 26 | 1 << 24)):
        present = draw(flag)
        bits.u(1, present)
        if present:
            parts()
    for count in (2, 0):
        present = draw(flag)
        bits.u(1, present)
        if present and count:
            [bits.ue(draw(st.integers(0, 5))) for _ in range(count)]
        elif present:
            bits.u(65, draw(st.integers(0, 2**65 - 1)))
    buffered = [draw(flag), draw(flag)]
    for present in buffered:
        bits.u(1, present)
        if present:
            count = draw(st.integers(1, 3))
            bits.ue(count - 1), bits.u(8, 0)
            for _ in range(count):
                bits.ue(draw(number)), bits.ue(draw(number)), bits.u(1, 0)
            bits.u(20, 0)
    bits.u(1 + any(buffered), 0)
    restricts = draw(flag)
    bits.u(1, restricts)
    if restricts:
        bits.u(1, 1)
        [bits.ue(draw(number)) for _ in range(4)]
        said, most = draw(st.integers(0, 18)), draw(st.integers(0, 18))
        bits.ue(said), bits.ue(most)
        reordered = said if said <= most <= 16 else None
    return reordered


@st.composite
def parameter_sets(draw):
    """An avcC with one sequence parameter set, and its facts."""
    bits, number = Bits(), st.integers(0, 40)
    profile = draw(st.sampled_from([66, 77, 100, 110, 122, 244]))
    bits.u(8, profile), bits.u(16, draw(st.integers(0, 2**16 - 1))), bits.ue(0)
    chroma, depth = 1, 8
    if profile >= 100:
        chroma, depth = draw(st.integers(0, 3)), draw(st.integers(8, 14))
        bits.ue(chroma)
        if chroma == 3:
            bits.u(1, 0)
        bits.ue(depth - 8), bits.ue(0), bits.u(2, 0)
    bits.ue(4), bits.ue(2), bits.ue(draw(number)), bits.u(1, 0)
    width, height, frames_only = draw(st.integers(1, 200)), draw(st.integers(1, 200)), draw(st.integers(0, 1))
    bits.ue(width - 1), bits.ue(height - 1), bits.u(1, frames_only), bits.u(1 if frames_only else 2, 1)
    flag = st.booleans()
    if draw(flag):
        bits.u(1, 1)
        [bits.ue(draw(number)) for _ in range(4)]
    else:
        bits.u(1, 0)
    reordered = draw_usability(draw, bits)
    unit = bits.unit()
    avcc = b"\1" + unit[1:4] + b"\xff\xe1" + len(unit).to_bytes(2, "big") + unit + b"\0"
    return avcc, (16 * width, 16 * height * (1 if frames_only else 2), chroma, depth, reordered)


@given(parameter_sets())
@settings(max_examples=200, deadline=None)
def test_sequence_parameter_sets(made):
    avcc, (width, height, chroma, depth, reordered) = made
    (found,) = sequences("h264", avcc)
    assert (found.width, found.height, found.chroma, found.depth, found.reordered) == (
        width,
        height,
        chroma,
        depth,
        reordered,
    )


@given(parameter_sets(), st.integers(8, 60))
@settings(max_examples=100, deadline=None)
def test_a_set_that_ends_early_states_no_reordering(made, size):
    avcc, _ = made
    unit = avcc[8:-1][:size]
    if len(unit) < len(avcc) - 9:
        for found in sequences("h264", avcc[:6] + len(unit).to_bytes(2, "big") + unit):
            assert found.reordered is None
