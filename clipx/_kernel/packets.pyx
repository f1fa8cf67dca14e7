# cython: language_level=3, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True
"""Walks over the packets of a file of sound, from header to header, without decoding.

They find the packets of plain files and stop at whatever else comes, which is for a demuxer to read.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

cdef int[2][16] LAYER3_KBITS = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
]
cdef int[3] MPEG1_RATES = [44100, 48000, 32000]

# Sync, version, layer and rate, of a header's 4 bytes; the channels are compared apart.
cdef uint32_t MP3_FIXED = 0xFFFE0C00
# Sync, version, layer, profile, rate and channels of an ADTS header's first 4 bytes.
cdef uint32_t ADTS_FIXED = 0xFFFEFDC0


cdef inline uint32_t big(const uint8_t *at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (at[1] << 16) | (at[2] << 8) | at[3]


cdef inline uint32_t little(const uint8_t *at) noexcept nogil:
    return at[0] | (at[1] << 8) | (at[2] << 16) | (<uint32_t>at[3] << 24)


cdef Py_ssize_t mp3_size(uint32_t header) noexcept nogil:
    """Bytes of a frame of MPEG layer III; 0 where its header does not say so, or not at all."""
    cdef int version = (header >> 19) & 3, lsf = version != 3, index = (header >> 10) & 3
    cdef int kbits = LAYER3_KBITS[lsf][(header >> 12) & 15]
    cdef int rate
    if header >> 21 != 0x7FF or version == 1 or (header >> 17) & 3 != 1 or index == 3 or kbits == 0:
        return 0
    rate = MPEG1_RATES[index] >> (0 if version == 3 else 1 if version == 2 else 2)
    return (72 if lsf else 144) * 1000 * kbits // rate + ((header >> 9) & 1)


cdef Py_ssize_t adts_size(const uint8_t *at) noexcept nogil:
    """Bytes of an ADTS frame of one block; 0 where its header is not one."""
    cdef Py_ssize_t size = ((at[3] & 3) << 11) | (at[4] << 3) | (at[5] >> 5)
    if at[0] != 0xFF or at[1] & 0xF6 != 0xF0 or at[6] & 3 != 0 or size < 8:
        return 0
    return size


def walk_frames(const uint8_t[::1] data, Py_ssize_t at, uint32_t first, bint adts, uint16_t[::1] sizes):
    """Write the bytes of frames that follow each other, from `at` on, to `sizes`.

    Args:
        first: the first four bytes of the stream's first header, as a big-endian number: whose kind the frames have.
        adts: whether they are those of ADTS, else of MPEG layer III.

    Returns (frames, at): `at` is where the next header would be: past or near the end of the data, where `sizes` are
    full, or at what is not the header of such a frame.
    """
    cdef Py_ssize_t n = data.shape[0], most = sizes.shape[0], found = 0, size
    cdef Py_ssize_t least = 7 if adts else 4
    cdef uint32_t fixed = ADTS_FIXED if adts else MP3_FIXED
    cdef bint mono = (first >> 6) & 3 == 3
    cdef uint32_t header
    if at < 0:
        raise ValueError(f"at is {at}, but must be at least 0")
    with nogil:
        while found < most and at <= n - least:
            header = big(&data[at])
            if (header ^ first) & fixed != 0 or (not adts and ((header >> 6) & 3 == 3) != mono):
                break
            size = adts_size(&data[at]) if adts else mp3_size(header)
            if size == 0:
                break
            sizes[found] = <uint16_t>size
            found += 1
            at += size
    return found, at


cdef uint32_t[8][256] CRC  # of Ogg, of a byte that so many bytes follow
cdef uint16_t[256] FLAC_CRC


cdef void fill_crc() noexcept:
    cdef uint32_t value
    cdef uint16_t of_flac
    cdef int i, after, _bit
    for i in range(256):
        value, of_flac = <uint32_t>i << 24, <uint16_t>(i << 8)
        for _bit in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value >> 31 else 0)
            of_flac = <uint16_t>((of_flac << 1) ^ (0x8005 if of_flac & 0x8000 else 0))
        CRC[0][i], FLAC_CRC[i] = value, of_flac
    for after in range(1, 8):
        for i in range(256):
            CRC[after][i] = (CRC[after - 1][i] << 8) ^ CRC[0][CRC[after - 1][i] >> 24]


fill_crc()


def page_is_whole(const uint8_t[::1] page):
    """The checksum of an Ogg page, given whole, is that of its bytes (RFC 3533 6)."""
    cdef Py_ssize_t n = page.shape[0], i = 0
    cdef uint32_t crc = 0, next, said
    if n < 27:
        return False
    said = little(&page[22])
    with nogil:
        while i < 26:
            crc = (crc << 8) ^ CRC[0][(crc >> 24) ^ (0 if i >= 22 else page[i])]
            i += 1
        while i + 8 <= n:
            crc ^= big(&page[i])
            next = big(&page[i + 4])
            crc = (
                CRC[7][crc >> 24]
                ^ CRC[6][(crc >> 16) & 255]
                ^ CRC[5][(crc >> 8) & 255]
                ^ CRC[4][crc & 255]
                ^ CRC[3][next >> 24]
                ^ CRC[2][(next >> 16) & 255]
                ^ CRC[1][(next >> 8) & 255]
                ^ CRC[0][next & 255]
            )
            i += 8
        while i < n:
            crc = (crc << 8) ^ CRC[0][(crc >> 24) ^ page[i]]
            i += 1
    return crc == said


cdef class OggPages:
    """A walk over the pages of an Ogg stream of Opus or Vorbis that is alone in its file.

    Args:
        serial: of the stream.
        blocks: of Vorbis, samples of the block that a packet with this first byte has, uint16 (256,), 0 where none has;
            None for Opus.
    """

    cdef uint32_t serial, sequence
    cdef bint vorbis, begun, continues, ended
    cdef int previous
    cdef int64_t of_packet
    cdef uint16_t[256] blocks

    def __init__(self, uint32_t serial, const uint16_t[::1] blocks=None):
        cdef int i
        self.serial, self.vorbis = serial, blocks is not None
        self.begun = self.continues = self.ended = False
        self.previous, self.of_packet = 0, 0
        if blocks is not None:
            if blocks.shape[0] != 256:
                raise ValueError(f"blocks has {blocks.shape[0]} numbers, but must have 256")
            for i in range(256):
                self.blocks[i] = blocks[i]

    cdef int64_t samples(self, const uint8_t *packet, Py_ssize_t size) noexcept nogil:
        """Samples that a packet gives, by its first bytes; -1 where they do not say.

        Opus with SILK comes later by the delay of a resampler, and its last samples at the end.
        """
        cdef int config, frames, of_frame, block, before
        if size < 1:
            return -1
        if self.vorbis:
            block, before = self.blocks[packet[0]], self.previous
            self.previous = block
            return -1 if block == 0 else (before + block) // 4 if before else 0
        config = packet[0] >> 3
        if config < 16:
            return -1
        of_frame = 120 << (config & 3)
        frames = 1 if packet[0] & 3 == 0 else 2
        if packet[0] & 3 == 3:
            frames = packet[1] & 63 if size > 1 else 0
        return frames * of_frame if 0 < frames * of_frame <= 5760 else -1

    cdef Py_ssize_t page(self, const uint8_t *page, Py_ssize_t n, int64_t[::1] out) noexcept nogil:
        """Bytes of the page that begins here; 0 where it is not whole, -1 where it is not the next one."""
        cdef Py_ssize_t segments, at, size = 0, i
        cdef int64_t packets = 0, samples = 0, granule
        cdef uint32_t sequence
        if n < 27:
            return 0
        segments = page[26]
        if n < 27 + segments:
            return 0
        sequence = little(page + 18)
        if (
            memcmp(page, b"OggS", 4) != 0
            or page[4] != 0
            or self.ended
            or page[5] & 2
            or (page[5] & 1) != self.continues
            or little(page + 14) != self.serial
            or (self.begun and sequence != self.sequence)
        ):
            return -1
        at = 27 + segments
        for i in range(segments):
            size += page[27 + i]
        if n < at + size:
            return 0
        for i in range(segments):
            if not self.continues:
                self.of_packet = self.samples(page + at, page[27 + i])
                if self.of_packet < 0:
                    return -1
            at += page[27 + i]
            self.continues = page[27 + i] == 255
            if not self.continues:
                packets += 1
                samples += self.of_packet
        self.begun, self.ended, self.sequence = True, page[5] & 4 != 0, sequence + 1
        granule = <int64_t>(little(page + 6) | (<uint64_t>little(page + 10) << 32))
        out[0], out[1], out[2], out[3] = at, granule, packets, samples
        return at

    def walk(self, const uint8_t[::1] data, Py_ssize_t at, int64_t[:, ::1] out):
        """Walk over the whole pages in data from `at` on, and write four numbers of each to `out` (n, 4).

        They are: bytes of the page; its granule position; packets that end on it; samples of these packets.

        Returns (pages, at, goes_on): `at` is where the next page begins. Without `goes_on` what stands there is not the
        next page of a plain stream, whose pages follow each other in number and whose packets say how many samples they
        give.
        """
        cdef Py_ssize_t n = data.shape[0], found = 0, size = 0
        if at < 0 or out.shape[1] != 4:
            raise ValueError("at must be at least 0, and out must have four columns")
        with nogil:
            while found < out.shape[0] and at < n:
                size = self.page(&data[at], n - at, out[found])
                if size <= 0:
                    break
                found += 1
                at += size
        return found, at, size >= 0


cdef uint32_t FLAC_FIXED = 0xFFFF0F0F  # sync, blocking strategy, rate, bits of a sample, of a header's first 4 bytes


cdef Py_ssize_t flac_header(
    const uint8_t *at, Py_ssize_t n, uint32_t first, int64_t *number, int64_t *samples
) noexcept nogil:
    """Bytes of the header of a FLAC frame of the kind of the first one (RFC 9639 9.1), 0 where there is none.

    Writes its number, and how many samples the frame has.
    """
    cdef uint32_t header
    cdef int extra, code, i, _bit, _byte
    cdef Py_ssize_t size = 5
    cdef uint8_t crc = 0
    if n < 16:
        return 0
    header = big(at)
    if (header ^ first) & FLAC_FIXED != 0 or (header >> 4) & 15 > 10:
        return 0
    if at[4] < 0x80:
        extra, number[0] = 0, at[4]
    elif at[4] & 0xE0 == 0xC0:
        extra, number[0] = 1, at[4] & 0x1F
    elif at[4] & 0xF0 == 0xE0:
        extra, number[0] = 2, at[4] & 0x0F
    elif at[4] & 0xF8 == 0xF0:
        extra, number[0] = 3, at[4] & 0x07
    elif at[4] & 0xFC == 0xF8:
        extra, number[0] = 4, at[4] & 0x03
    elif at[4] & 0xFE == 0xFC:
        extra, number[0] = 5, at[4] & 0x01
    else:
        return 0
    for _byte in range(extra):
        if at[size] & 0xC0 != 0x80:
            return 0
        number[0] = (number[0] << 6) | (at[size] & 0x3F)
        size += 1
    code = (header >> 12) & 15
    if code == 0:
        return 0
    if code == 1:
        samples[0] = 192
    elif code < 6:
        samples[0] = 576 << (code - 2)
    elif code == 6:
        samples[0] = at[size] + 1
        size += 1
    elif code == 7:
        samples[0] = ((at[size] << 8) | at[size + 1]) + 1
        size += 2
    else:
        samples[0] = 256 << (code - 8)
    code = (header >> 8) & 15
    size += 1 if code == 12 else 2 if code in (13, 14) else 0
    for i in range(size):
        crc ^= at[i]
        for _bit in range(8):
            crc = <uint8_t>((crc << 1) ^ (0x07 if crc & 0x80 else 0))
    return size + 1 if crc == at[size] else 0


def find_flac_frame(const uint8_t[::1] data, Py_ssize_t at, uint32_t first, int64_t number):
    """The first header of a FLAC frame from `at` on, as (position, number, samples of the frame); position -1 for none.

    first: the first four bytes of the stream's first header, as a big-endian number: whose kind the frame has.
    number: of the frame; -1 for any.
    """
    cdef int64_t found = 0, samples = 0
    cdef Py_ssize_t n = data.shape[0]
    cdef const uint8_t *next
    if at < 0:
        raise ValueError(f"at is {at}, but must be at least 0")
    with nogil:
        while at < n:
            next = <const uint8_t *>memchr(&data[at], 0xFF, n - at)
            if next == NULL:
                at = n
                break
            at = next - &data[0]
            if flac_header(next, n - at, first, &found, &samples) != 0 and (number < 0 or found == number):
                break
            at += 1
    if at >= n:
        at = -1
    return at, found, samples


def flac_frame_is_whole(const uint8_t[::1] frame):
    """The checksum at the end of a FLAC frame is that of its bytes (RFC 9639 9.3)."""
    cdef Py_ssize_t n = frame.shape[0], i
    cdef uint16_t crc = 0
    if n < 2:
        return False
    with nogil:
        for i in range(n):
            crc = <uint16_t>((crc << 8) ^ FLAC_CRC[(crc >> 8) ^ frame[i]])
    return crc == 0
