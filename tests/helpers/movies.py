"""Videos whose sound says when each frame is shown."""

from fractions import Fraction

import av
import numpy as np

from helpers.sounds import frames_of, noise

FLASHES = (3, 17, 31, 44)


class Movie:
    """A video whose white frames have a click each, and what is known of it.

    times: of the frames. The sound begins at `start` with `n` samples; the clicks stand at the times of FLASHES.
    """

    def __init__(
        self,
        path,
        container,
        codec,
        times,
        rate=16000,
        start=0,
        seconds=2.2,
        first="video",
        skip=(),
        bf=0,
        options=None,
    ):
        self.path, self.times, self.rate, self.start = path, times, rate, Fraction(start)
        sound = noise(round(seconds * rate)) * 0.2
        for k in FLASHES:
            at = round((times[k] - self.start) * rate)
            if 0 <= at < sound.shape[1]:
                sound[0, at] = 0.95
        self.sound = (sound[0] * 32767).astype(np.int16)
        with av.open(str(path), "w", format=container) as out:
            streams = {}
            for kind in (first, {"video": "audio", "audio": "video"}[first]):
                if kind == "video":
                    base = Fraction(1, 1000) if container == "matroska" else Fraction(1, 30000)
                    average = 1 / (times[1] - times[0])
                    streams[kind] = out.add_stream("libx264", rate=average, options={"bf": str(bf), "g": "10"})
                    streams[kind].width = streams[kind].height = 32
                    streams[kind].pix_fmt = "yuv420p"
                    streams[kind].codec_context.time_base = base
                else:
                    streams[kind] = out.add_stream(codec, rate=rate, layout="mono", options=options)
            packets = []
            for k, time in enumerate(times):
                picture = np.full((32, 32, 3), 255 if k in FLASHES else 5 * (k % 8), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(time / base), base
                packets += streams["video"].encode(frame)
            packets += streams["video"].encode()
            for frame in frames_of(sound, streams["audio"], rate, "mono", round(self.start * rate), skip):
                packets += streams["audio"].encode(frame)
            packets += streams["audio"].encode(None)
            for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
                out.mux(packet)

    def sound_at(self, seconds, n):
        """The samples from a time on, silence where there are none."""
        at = round((Fraction(seconds) - self.start) * self.rate) + np.arange(n)
        inside = (at >= 0) & (at < len(self.sound))
        return np.where(inside, self.sound[np.clip(at, 0, len(self.sound) - 1)], 0)


def even(n=50, rate=25, start=0):
    return [Fraction(start) + k / Fraction(rate) for k in range(n)]


def milliseconds(times):
    return [Fraction(round(time * 1000), 1000) for time in times]


def variable(n=50):
    steps = np.random.default_rng(4).integers(20, 61, n)
    return [Fraction(int(each), 1000) for each in np.cumsum(steps) - steps[0]]
