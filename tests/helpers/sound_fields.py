"""Sound of random numbers as fields of samples."""

import io
import wave

import av
import numpy as np

import clipx

RATE = 8000
SOUND = clipx.WindowSpec(2000)
MONO = clipx.AudioFormat(sample_rate=RATE, mono=True)


def wav(seed=0, n=5000):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples_of(seed, n).tobytes())
    return out.getvalue()


def samples_of(seed=0, n=5000):
    return np.random.default_rng(seed).integers(-1000, 1000, n).astype(np.int16)


def encoded(container, codec, seed=0, n=5000, rate=RATE):
    """The sound of `samples_of` in another container."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        samples = samples_of(seed, n)[None]
        if stream.format.name.startswith("flt"):
            samples = samples.astype(np.float32) / 32768
        for at in range(0, n, 1024):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, at : at + 1024]), format=stream.format.name, layout="mono"
            )
            frame.sample_rate, frame.pts = rate, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def flac(seed=0):
    return encoded("flac", "flac", seed)
