"""Files of sound for tests, and what a full decode that passes over what is refused gives of them."""

import io
import struct
from contextlib import suppress
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from av.audio.plane import AudioPlane

import clipx
from clipx import AudioFormat

# codec, container, rate, layout
CORPUS = {
    "wav": ("pcm_s16le", "wav", 16000, "stereo"),
    "w64": ("pcm_s24le", "w64", 16000, "mono"),
    "aiff": ("pcm_s16be", "aiff", 16000, "stereo"),
    "au": ("pcm_mulaw", "au", 8000, "mono"),
    "caf": ("pcm_f32le", "caf", 16000, "stereo"),
    "adpcm": ("adpcm_ms", "wav", 22050, "mono"),
    "flac": ("flac", "flac", 16000, "stereo"),
    "wavpack": ("wavpack", "wv", 16000, "stereo"),
    "mp3": ("libmp3lame", "mp3", 44100, "stereo"),
    "adts": ("aac", "adts", 44100, "mono"),
    "ac3": ("ac3", "ac3", 48000, "stereo"),
    "m4a": ("aac", "ipod", 48000, "stereo"),
    "alac": ("alac", "ipod", 44100, "mono"),
    "opus": ("libopus", "ogg", 48000, "stereo"),
    "webm": ("libopus", "webm", 48000, "mono"),
    "vorbis": ("vorbis", "ogg", 44100, "stereo"),
    "mkv": ("pcm_s16le", "matroska", 16000, "mono"),
    "ts": ("aac", "mpegts", 48000, "mono"),
}


def noise(n, channels=1, seed=0):
    rng = np.random.default_rng([seed, n, channels])
    return 0.3 * np.cumsum(rng.uniform(-0.1, 0.1, (channels, n)), axis=1) % 0.6 - 0.3


NUMBERS = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}


def frames_of(sound, stream, rate, layout, start=0, skip=()):
    """Frames for an encoder of sound (channels, n); those whose first sample lies in a range of `skip` are left out."""
    context = stream.codec_context
    size = context.frame_size or 1024
    dtype = np.dtype(NUMBERS[context.format.name.removesuffix("p")])
    scale = np.iinfo(dtype).max - 255 * (dtype.itemsize == 4) if dtype.kind == "i" else 127 if dtype.kind == "u" else 1
    values = (np.clip(sound, -1, 1) * scale + 128 * (dtype.kind == "u")).astype(dtype)
    planar = context.format.is_planar
    for first in range(0, values.shape[1], size):
        if any(low <= first < high for low, high in skip):
            continue
        part = values[:, first : first + size]
        frame = av.AudioFrame(format=context.format.name, layout=layout, samples=part.shape[1])
        for i, row in enumerate(part if planar else [part.T]):
            data = np.ascontiguousarray(row).tobytes()
            plane = AudioPlane(frame, i)  # av's list of planes goes past the last one where there are eight or more
            plane.update(data + bytes(plane.buffer_size - len(data)))
        frame.sample_rate, frame.pts, frame.time_base = rate, start + first, Fraction(1, rate)
        yield frame


def encode(sound, codec, container, rate, layout="mono", start=0, options=None, skip=()):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        stream.options = {"strict": "experimental", **(options or {})}
        stream.codec_context.open()
        for frame in frames_of(sound, stream, rate, layout, start, skip):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


@cache
def corpus_file(name, seconds=1.0, seed=0):
    codec, container, rate, layout = CORPUS[name]
    return encode(noise(round(seconds * rate), 2 if layout == "stereo" else 1, seed), codec, container, rate, layout)


def tolerant_frames(file, stream):
    """Frames of every packet that is not refused, as FFmpeg's own player shows them."""
    packets = file.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):
            packet = None
        if packet is not None and not packet.size:
            continue
        with suppress(av.FFmpegError):
            yield from stream.codec_context.decode(packet)
        if packet is None:
            return


def decoded(data, format=None, stream=None, container=None):
    """(channels, n): all that can be decoded of a file, put together."""
    format = format or AudioFormat()
    pieces, resampler, kind = [], None, None
    with av.open(io.BytesIO(data), format=container) as file:
        found = file.streams.best("audio") if stream is None else file.streams.audio[stream]
        for frame in tolerant_frames(file, found):
            kind = kind or (frame.sample_rate, frame.layout.name)
            if kind != (frame.sample_rate, frame.layout.name):
                continue
            if resampler is None:
                layout = "mono" if format.mono else frame.layout.name
                # Packed, whose one plane av reads right for any number of channels.
                resampler = av.AudioResampler(
                    {"float32": "flt", "int16": "s16"}[format.dtype], layout, format.sample_rate or frame.sample_rate
                )
            pieces += resampler.resample(frame)
        if resampler is None:
            return np.zeros((1, 0), format.dtype)
        pieces += resampler.resample(None)
    pieces = [piece for piece in pieces if piece is not None and piece.samples]
    return np.concatenate([piece.to_ndarray().reshape(piece.samples, -1).T for piece in pieces], axis=1)


def wav_header(size, channels=1, rate=16000, bits=16, code=1, riff=None):
    block = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate, rate * block, block, bits)
    body = fmt + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", size if riff is None else riff) + b"WAVE" + body


def flipped(data, count, seed, first=0.0):
    """The data with so many bits flipped, from a part of it on."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    for at in rng.integers(int(len(data) * first), len(data), count):
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}

# codec, container, and the rates that it knows
KINDS = {
    "wav-s16": ("pcm_s16le", "wav", (8000, 11025, 44100)),
    "wav-s24": ("pcm_s24le", "wav", (48000,)),
    "wav-f32": ("pcm_f32le", "wav", (22050,)),
    "wav-u8": ("pcm_u8", "wav", (8000,)),
    "flac": ("flac", "flac", (16000, 44100)),
    "ogg-flac": ("flac", "ogg", (16000,)),
    "mp3": ("libmp3lame", "mp3", (16000, 44100)),
    "m4a": ("aac", "ipod", (16000, 48000)),
    "adts": ("aac", "adts", (32000,)),
    "ogg-opus": ("libopus", "ogg", (48000,)),
    "webm-opus": ("libopus", "webm", (24000,)),
    "vorbis": ("vorbis", "ogg", (44100,)),
    "mkv-ac3": ("ac3", "matroska", (48000,)),
}


@cache
def sound_file(kind, layout="mono", rate=16000, n=None):
    codec, container, _ = KINDS[kind]
    return encode(noise(rate // 3 if n is None else n, CHANNELS[layout]), codec, container, rate, layout)


@cache
def whole_sound(data, format=None):
    """(channels, n): the whole file decoded, resampled and put together."""
    format = format or AudioFormat()
    pieces, resampler = [], None
    with av.open(data if isinstance(data, str) else io.BytesIO(data)) as file:
        for frame in file.decode(audio=0):
            if resampler is None:
                layout = "mono" if format.mono else frame.layout.name
                kind = {"float32": "fltp", "int16": "s16p"}[format.dtype]
                resampler = av.AudioResampler(kind, layout, format.sample_rate or frame.sample_rate)
            pieces += resampler.resample(frame)
        pieces += resampler.resample(None)
    return np.concatenate([piece.to_ndarray() for piece in pieces if piece is not None and piece.samples], axis=1)


def check_clips(src, window, format=None, *, key=None, rng=None, **rest):
    """The clips of a source equal slices of the whole. Returns the number of clips."""
    format = format or AudioFormat()
    sound = whole_sound(src if key is None else key, format)
    n = sound.shape[1]
    rows, starts = window.indices(n, rng), window.starts(n, rng)
    extracted = clipx.audio.clips(src, window, format, rng=rng, **rest)
    count = 0
    for clip in extracted:
        wanted = sound[:, rows[count]]
        wanted[:, rows[count] < 0] = window.fill_value
        data = clip.data if format.order == "CN" else clip.data.T
        np.testing.assert_array_equal(data, wanted)
        assert clip.data.dtype == format.dtype
        assert clip.data.flags.c_contiguous
        assert (clip.index, clip.start) == (count, starts[count])
        assert clip.valid == window.valid(starts[count, None, None], n)
        assert clip.duration_seconds == pytest.approx(window.span / clip.sample_rate)
        count += 1
        del clip, data
    assert count == len(rows)
    assert extracted.num_frames == n
    return count
