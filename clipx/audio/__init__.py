"""Sound to clips: decoded samples are written into every clip that holds them.

Stability: stable.
"""

from clipx.audio.clips import AudioClips, clips
from clipx.audio.format import AudioFormat

__all__ = ["AudioClips", "AudioFormat", "clips"]
