"""Segments from files: tables of captions, labels and scenes.

Stability: stable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload

from clipx.datasets.segment_tables import read_table
from clipx.plan import Segment
from clipx.plan.segments import Unit

__all__ = ["Segment", "from_csv"]


@overload
def from_csv(path: str | os.PathLike[str], *, unit: Unit | None = None, by: None = None) -> list[Segment]: ...
@overload
def from_csv(path: str | os.PathLike[str], *, unit: Unit | None = None, by: str) -> dict[str, list[Segment]]: ...
def from_csv(
    path: str | os.PathLike[str], *, unit: Unit | None = None, by: str | None = None
) -> list[Segment] | dict[str, list[Segment]]:
    """The segments of a table in a file, in order: one of PySceneDetect's scene lists, or a plain table.

    >>> for clip in clipx.video.clips("a.mp4", spec, segments=clipx.segments.from_csv("a-Scenes.csv")):
    ...     clip.segment.facts["scene"]
    >>> labels = clipx.segments.from_csv("labels.csv", by="video")
    >>> clipx.wds.clips(spec, segments=lambda sample: labels.get(sample["__key__"], []))

    A plain table has a header, with columns start and end or start_seconds and end_seconds, in seconds, or start_frame
    and end_frame, frames from 0 on, the end not counted. All other columns are facts of the segment, as texts. Cells
    are separated by commas, tabs or semicolons.

    A scene list may begin with its list of timecodes. Its frames are taken, not its rounded seconds; its only fact is
    "scene", the scene's number.

    Args:
        unit: "seconds" or "frames": which columns are read of a table that has both (default: frames), and the unit of
            plain columns start and end (default: seconds).
        by: name of the column that says which video a segment is of, such as "video".

    Returns a list of Segment; with `by` a dict of such lists by the cells of that column.

    Raises OSError, and ValueError that names file, line, column and rule.

    Stability: stable.
    """
    if unit not in (None, "seconds", "frames"):
        raise ValueError(f"unit is {unit!r}, but must be 'seconds', 'frames' or None")
    name = os.fspath(path)
    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as exn:
        raise ValueError(f"{name}: it is not a text in UTF-8: {exn}") from exn
    groups: dict[str, list[Segment]] = {}
    for segment, group in read_table(text, name, unit, by):
        if isinstance(segment, ValueError):
            raise segment
        groups.setdefault(group, []).append(segment)
    return groups.get("", []) if by is None else groups
