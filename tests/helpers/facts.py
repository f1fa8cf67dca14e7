"""Facts of a video, as an index of its file gives them."""

from clipx.datasets.index.arrow import columns
from clipx.datasets.index.facts import facts_of_row, picture_memory
from clipx.datasets.index.media_rows import video_rows


def facts_of(src):
    rows = [{**dict.fromkeys(columns()), **row} for row in video_rows(src, "it")]
    return facts_of_row(rows[0], picture_memory(rows))
