"""Videos to clips: each frame that a clip needs is written from the decoder's planes into every clip that holds it.

Stability: stable.
"""

from clipx.video.clips import VideoClips, clips
from clipx.video.options import VideoOptions
from clipx.video.probing import SoundInfo, VideoInfo, probe

__all__ = ["SoundInfo", "VideoClips", "VideoInfo", "VideoOptions", "clips", "probe"]
