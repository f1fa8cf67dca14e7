"""The ClipDataset: clips of an index by their numbers, in any order."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import webdataset

from clipx._checks import byte_count, integer
from clipx.audio.format import AudioFormat
from clipx.datasets.field_paths import MOST_BYTES
from clipx.datasets.fields import Sample
from clipx.datasets.index import Index
from clipx.datasets.keys import Keys
from clipx.datasets.ledger import MOST_ENTRIES, Ledger, Recorder
from clipx.datasets.origins import locate
from clipx.datasets.passes import Passes
from clipx.datasets.segments import Seconds, Segments, parse_segments
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.format import ClipFormat
from clipx.loader.beside import Map, check_map, decoded_beside, mapped
from clipx.loader.clip_entries import Asked, ClipEntries
from clipx.loader.collate import collate
from clipx.loader.recent_samples import RecentSamples
from clipx.loader.tensors import BatchRows
from clipx.plan import FrameSpec, Selection
from clipx.video.options import VideoOptions
from clipx.wds.in_step import ClipSample
from clipx.wds.layout import Ragged
from clipx.wds.sample_clips import SampleClips

__all__ = ["ClipDataset"]

logger = logging.getLogger("clipx")


def _as_index(value: Any) -> Index:
    if isinstance(value, Index):
        return value
    if isinstance(value, (str, os.PathLike)) and str(value).endswith(".parquet"):
        return Index(value)
    raise TypeError(
        f"index is {value!r}, but must be a clipx.Index or the path of one: clipx.Index.build(...) makes one of "
        f"clipx.Files and of shards"
    )


class ClipDataset:
    """The clips of an index by their numbers: a map-style dataset, for `torch.utils.data.DataLoader` and its like.

    >>> dataset = clipx.ClipDataset("index.parquet", spec, format)
    >>> sampler = clipx.ClipSampler(dataset, shuffle="clips")
    >>> loader = DataLoader(dataset, 16, sampler=sampler, num_workers=4, collate_fn=clipx.ClipDataset.collate)

    Args:
        index: a `clipx.Index`, or the path of one.
        spec, format, options, audio, keys: which frames, how they are written and read, and of which fields; see
            `clipx.wds.clips`.
        segments, min_seconds, max_seconds, trim_seconds: the segments that sources are divided into; see
            `clipx.wds.clips`.
        map: called with the sample of each clip; what it returns is given in its stead.
        seed, epoch: random starts, crops and flips are drawn from both and each sample's `__key__`, and are those of a
            Loader. `set_epoch` sets another.
        keep_open: bytes that long videos whose clips were read last may take in a process while they are left open, by
            what their headers say; 0 leaves none open.
        handler: called with the error of a broken sample, as webdataset's are: true leaves its clips out of the batch
            that `__getitems__` gives, which is then shorter; false and the default raise the error.

    `len` is the number of clips of all samples, those of sample 0 first; it is counted once, when it is first asked
    for, by the index alone where that knows enough. A broken sample has none, and is in `errors`. Where the spec draws
    how many clips there are, it is that of the epoch.

    `dataset[i]` is the sample of clip i, as `clipx.wds.clips` gives it, other fields decoded as the Loader does: in
    memory of its own, which no other shares. Lists of numbers go to `__getitems__`, as DataLoader's batches do: each
    source is opened once, and frames that several of its clips hold are decoded once.

    Threads may share a dataset, and processes that are forked or spawned have it with its counts. `errors` is a
    `clipx.datasets.ledger.Ledger` of broken and damaged samples, in this process and in its DataLoader workers.

    Raises TypeError and ValueError that name the argument; IndexError for a number that is not there; and what reading
    and decoding raise, with the sample, the field and the file. With `VideoOptions(damage="skip")`, a clip in which
    damage may show is a ValueError. Damage elsewhere in its source does not matter to a clip.

    Stability: stable.
    """

    def __init__(
        self,
        index: Index | str | os.PathLike[str],
        spec: FrameSpec,
        format: ClipFormat | None = None,
        *,
        options: VideoOptions | None = None,
        audio: AudioFormat | None = None,
        segments: Segments = None,
        min_seconds: Seconds = None,
        max_seconds: Seconds = None,
        trim_seconds: Seconds = None,
        map: Map | None = None,
        seed: int = 0,
        epoch: int = 0,
        keys: Keys = None,
        keep_open: int | str = "64MB",
        handler: Callable[[Exception], bool] = webdataset.reraise_exception,
    ) -> None:
        found = parse_segments(segments, min_seconds=min_seconds, max_seconds=max_seconds, trim_seconds=trim_seconds)
        self._clips = SampleClips(spec, format, options=options, audio=audio, keys=keys, seed=seed, segments=found)
        if not callable(handler):
            raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
        self._index, self._map, self._handler = _as_index(index), check_map(map), handler
        self._recent = RecentSamples(self._index, byte_count("keep_open", keep_open) if keep_open else 0)
        self.errors = Ledger()
        self._passes = Passes(integer("epoch", epoch, 0))
        self._counted: tuple[int, ClipEntries] | None = None

    @property
    def epoch(self) -> int:
        """The epoch that clips are drawn in; in a DataLoader's worker, that of its main process."""
        return self._passes.following

    def set_epoch(self, epoch: int) -> None:
        """Draw clips in another epoch, also in DataLoader workers that run. A ClipSampler calls this."""
        epoch = integer("epoch", epoch, 0)
        if epoch != self.epoch:
            self._passes.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.entries(self.epoch))

    def entries(self, epoch: int) -> ClipEntries:
        """The clips of an epoch, numbered: counted when they are first asked for."""
        counted = epoch if self._clips.spec.count_is_random else 0
        found = self._counted
        if found is None or found[0] != counted:
            # Of threads that come at the same time, each counts; all find the same.
            found = self._counted = counted, ClipEntries(self._count(epoch))
        return found[1]

    def _count(self, epoch: int) -> np.ndarray:
        counts = self._index.counts(self._clips, epoch)
        if not counts.any():
            logger.warning("ClipDataset: no sample of %d gives a clip; its errors say why", len(counts))
        for number in np.flatnonzero(counts == 0)[:MOST_ENTRIES].tolist():
            origin = {"__key__": self._index.keys[number], "__url__": self._index.sources[number]}
            try:
                error = self._index.status(number)
                if error is None and not self._index.count(number, self._clips, epoch):
                    self.errors.note("no clips", origin, "its frames, or those of its segments, are too few", clips=0)
                elif error is not None:
                    self.errors.note("error", origin, error, clips=0)
            except NOT_A_SAMPLES_FAULT:
                raise
            except Exception as exn:
                locate(exn, origin, clips=0)
                self.errors.record(exn)
        return counts

    def __getitem__(self, index: int) -> Sample:
        """The sample of a clip; negative numbers count from the end."""
        epoch, number = self.epoch, integer("index", index, -(2**63))
        [asked] = self.entries(epoch).by_sample([number])
        [sample] = self._samples(asked, epoch).values()
        return sample

    def __getitems__(self, indices: Iterable[int]) -> list[Sample]:
        """The samples of clips, in the order of their numbers; a number may come several times."""
        epoch, numbers = self.epoch, [integer("index", each, -(2**63)) for each in indices]
        found: dict[int, Sample] = {}
        error: Exception | None = None
        handler = Recorder(self.errors, self._handler)
        rows = BatchRows(len(numbers)) if BatchRows.pay() and self._clips.spec.max_length is not None else None
        for asked in self.entries(epoch).by_sample(numbers):
            try:
                found |= self._samples(asked, epoch, rows)
            except NOT_A_SAMPLES_FAULT:
                raise
            except Exception as exn:
                if not handler(exn):
                    raise
                error = exn
        if error is not None and not found:
            raise ValueError(f"none of the {len(numbers)} clips of a batch can be read, the last because of: {error}")
        return [found[place] for place in sorted(found)]

    def _samples(self, asked: Asked, epoch: int, rows: BatchRows | None = None) -> dict[int, Sample]:
        """The samples of the clips that are asked of one source, by their places."""
        try:
            return self._extracted(self._recent.sample(asked.sample), asked.places, epoch, rows)
        except Exception as exn:
            self._locate(exn, asked.sample)
            raise

    def _extracted(
        self, sample: Sample, places: Mapping[int, list[int]], epoch: int, rows: BatchRows | None
    ) -> dict[int, Sample]:
        fields = self._clips.fields(sample)
        memory = rows if len(fields) == 1 else None
        if memory is not None:
            memory.expect(wanted[0] for wanted in places.values())
        sample = {**sample, **decoded_beside(sample, fields.values(), MOST_BYTES)}
        selection = Selection(tuple(places), None, again=False)
        found: dict[int, Sample] = {}
        for clip in self._clips.clips(sample, epoch, pool=memory, selection=selection, ledger=self.errors):
            assert isinstance(clip, ClipSample)
            own = {id(array): array for array in (name.get(clip.sample) for name in fields)}
            for place in places[clip.number]:
                # What goes with a source's clips is shared by them until then.
                found[place] = deepcopy(clip.sample, own) if found else clip.sample
                own = {}
            del clip
        missing = [number for number, wanted in places.items() if wanted[0] not in found]
        if missing:
            raise ValueError(
                f"the source does not give clips {', '.join(map(str, missing))}: damage shows in them, or it is "
                f"not the one that was indexed"
            )
        return found if self._map is None else {place: mapped(self._map, each) for place, each in found.items()}

    def _locate(self, exn: Exception, sample: int) -> None:
        locate(exn, key=self._index.keys[sample], shard=self._index.sources[sample])

    def __repr__(self) -> str:
        return f"<ClipDataset of {self._index!r}, {self._clips.spec!r}>"

    @staticmethod
    def collate(samples: list[Sample], ragged: Ragged = "error") -> dict[str, Any]:
        """A batch of samples, for `collate_fn` of a DataLoader: a dict as a Loader's batches are, with tensors.

        Arrays of a field lie side by side in one tensor, in memory that a DataLoader's worker shares, so that they are
        copied once; `__key__` and `clip.json` are lists, and other fields are collated as webdataset does. Without
        torch, arrays stay arrays.

        Args:
            ragged: what becomes of clips of different lengths: "error", "list" or "pad", as in a Loader.

        Raises ValueError that names both samples where arrays of a field differ.
        """
        return collate(samples, ragged)
