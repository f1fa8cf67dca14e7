"""Sound to clips: decoded samples are written into every clip that holds them."""

from clipx.audio.clips import AudioClips, clips, count_clips, count_samples
from clipx.audio.format import AudioFormat

__all__ = ["AudioClips", "AudioFormat", "clips", "count_clips", "count_samples"]
