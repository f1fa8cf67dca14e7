"""Mixtures: the samples of several datasets, drawn by weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from clipx._checks import integer, number, one_of
from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.dataset import Dataset, Handler, SampleReader, refuse
from clipx.datasets.fields import DATASET, PASS, Sample
from clipx.datasets.index import Index
from clipx.datasets.mix_share import Borders, Draws, MixShare
from clipx.datasets.mixing import Stop, Stream, mixed
from clipx.datasets.origins import locate, locating
from clipx.datasets.shard_list import as_dataset
from clipx.datasets.shares import JoinedShare, Share
from clipx.datasets.streamed_tars import ReadLimits
from clipx.datasets.world import World
from clipx.plan.draws import derived_seed

__all__ = ["Mix", "MixReader"]


class Mix:
    """A dataset for the Loader, of samples drawn by weight from several datasets.

    >>> mix = clipx.Mix({"kinetics": ("kinetics-{000..099}.tar", 0.7), "own": (clipx.Files("own.csv"), 0.3)})
    >>> loader = clipx.Loader(mix, spec, format, batch_size=16)

    Args:
        datasets: by their names, each with its weight: whatever the Loader takes but another mixture, and a number
            above 0. Weights count relative to their sum.
        stop: when an epoch ends. "all": a dataset that is exhausted leaves, weights are taken of the rest, and every
            sample comes once. "first": where a draw falls on a dataset that is exhausted. "never": one that is
            exhausted begins anew, in another order and with other random clips, and the epoch has `length` samples.
        length: samples of an epoch, of all ranks and workers together, each of which draws an equal share of them, or
            one more; for "never" alone.

    Each process has its own share of every dataset, and draws a dataset for each sample from the seed, the epoch, its
    rank and its worker. Weights are of samples, whatever number of clips each gives. A dataset of which a process has
    no sample, for there are more processes than samples, is exhausted there.

    A sample has `__dataset__`, the name of its dataset, and with "never" `__pass__`, the number of the pass over it
    from 0; `clip.json` has both as "dataset" and "pass", and errors name the dataset. Keys may be the same in several
    datasets: a sample's random choices are drawn from the seed, the epoch, its dataset's name, its key and the pass.

    Raises TypeError and ValueError that name the dataset.

    Stability: provisional.
    """

    noun = "part"

    def __init__(
        self, datasets: Mapping[str, tuple[Any, float]], *, stop: Stop = "all", length: int | None = None
    ) -> None:
        if not isinstance(datasets, Mapping) or not datasets:
            raise TypeError(f"datasets is {datasets!r}, but must be a dict of datasets and weights by names")
        one_of("stop", stop, ("all", "first", "never"))
        if (length is None) == (stop == "never"):
            rule = "needs length, the samples of an epoch" if length is None else "has the length of its datasets"
            raise ValueError(f"length is {length!r}, but stop={stop!r} {rule}")
        self.stop: Stop = stop
        self.length = None if length is None else integer("length", length, 1)
        self.datasets = {name: _dataset(name, value) for name, value in datasets.items()}
        self.weights = {name: _weight(name, value[1]) for name, value in datasets.items()}

    def bound(self, bind: Callable[[str, Any], Dataset]) -> Mix:
        """A mixture of what `bind` makes of each dataset, by its name."""
        datasets = {name: (bind(name, each), self.weights[name]) for name, each in self.datasets.items()}
        return Mix(datasets, stop=self.stop, length=self.length)

    def __repr__(self) -> str:
        each = ", ".join(f"{name!r} ({self.weights[name]:g})" for name in self.datasets)
        return f"<Mix: {each}, stop={self.stop!r}{f', length={self.length}' if self.length else ''}>"

    @property
    def borders(self) -> Borders:
        """Which parts are whose."""
        return Borders([len(each) for each in self.datasets.values()])

    # As a Loader reads it

    def __len__(self) -> int:
        return sum(len(each) for each in self.datasets.values())

    @property
    def is_remote(self) -> bool:
        """Whether some of it is read through fsspec."""
        return any(each.is_remote for each in self.datasets.values())

    @property
    def most_parts(self) -> int:
        """Number of parts with those of all passes that an epoch may have, each of a sample at least."""
        return len(self) * (self.length or 1)

    def reader(self, handler: Handler) -> MixReader:
        """A reader of the samples; see `clipx.datasets.dataset.Dataset`."""
        return MixReader(self, handler)

    def share(self, seed: int, epoch: int, shuffle: bool, world: World) -> MixShare:
        """What a process reads of each dataset; see `clipx.datasets.dataset.Dataset`."""
        borders = self.borders
        shares = [
            dataset.share(derived_seed(seed, name), epoch, shuffle, world) for name, dataset in self.datasets.items()
        ]
        return MixShare(
            [start + part for start, share in zip(borders.starts, shares) for part in share.shards],
            borders=borders,
            shares=shares,
            draws=Draws(tuple(self.weights.values()), seed, epoch, f"mixture {world.rank} {world.worker}"),
            shuffle=shuffle,
            stop=self.stop,
            samples=self._samples_of(world),
        )

    def _samples_of(self, world: World) -> int | None:
        """Number of samples that a process draws in an epoch; None for as many as there are."""
        if self.length is None:
            return None
        processes, process = world.ranks * world.workers, world.worker * world.ranks + world.rank
        return (self.length - process - 1) // processes + 1

    def facts(self) -> dict[str, Any]:
        """The weights and the rule, and the facts of each dataset."""
        return {
            "names": list(self.datasets),
            "weights": list(self.weights.values()),
            "stop": self.stop,
            "length": self.length,
            "datasets": [each.facts() for each in self.datasets.values()],
        }

    def check(self, saved: Any) -> None:
        """Raise ValueError where a state's facts are not those of this mixture."""
        now = {"names": list(self.datasets), "weights": list(self.weights.values()), "stop": self.stop}
        now |= {"length": self.length}
        if not isinstance(saved, dict) or saved.keys() != {*now, "datasets"}:
            raise refuse("dataset", saved, f"must be a mixture, with {', '.join(now)} and datasets")
        for entry, value in now.items():
            if saved[entry] != value:
                raise ValueError(f"state was saved with {entry} {saved[entry]!r} of Mix, but Mix has {value!r}")
        if not isinstance(saved["datasets"], list) or len(saved["datasets"]) != len(self.datasets):
            raise refuse("datasets", saved["datasets"], f"must be a list of {len(self.datasets)}")
        for (name, dataset), facts in zip(self.datasets.items(), saved["datasets"]):
            with locating(dataset=name):
                dataset.check(facts)


def _dataset(name: Any, value: Any) -> Any:
    if not isinstance(name, str) or not name:
        raise TypeError(f"datasets has a name {name!r}, but names must be texts")
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"dataset {name!r} is {value!r}, but must be a pair: a dataset and its weight")
    if isinstance(value[0], Mix):
        raise TypeError(
            f"dataset {name!r} is a mixture itself: name its datasets here, with their weights times that of {name!r}"
        )
    return value[0] if isinstance(value[0], Index) else as_dataset(f"dataset {name!r}", value[0])


def _weight(name: str, value: Any) -> float:
    weight = number(f"weight of dataset {name!r}", value)
    if not 0 < weight < math.inf:
        raise ValueError(f"weight of dataset {name!r} is {value!r}, but must be above 0")
    return weight


class _DatasetHandler:
    """A handler that adds the name of the dataset to each error, and remembers whether it has asked to stop."""

    def __init__(self, handler: Handler, name: str) -> None:
        self._handler, self._name, self.stopped = handler, name, False

    def __call__(self, exn: Exception) -> bool:
        locate(exn, dataset=self._name)
        goes_on = bool(self._handler(exn))
        self.stopped = self.stopped or not goes_on
        return goes_on


class MixReader:
    """Reads the samples of a mixture; see `clipx.datasets.dataset.SampleReader`.

    A dataset whose reading the handler ends counts as exhausted; the others go on.
    """

    def __init__(self, mix: Mix, handler: Handler) -> None:
        self._mix, self._borders, self._names = mix, mix.borders, list(mix.datasets)
        self._handlers = [_DatasetHandler(handler, name) for name in self._names]
        self._readers: list[SampleReader] = [
            dataset.reader(each) for dataset, each in zip(mix.datasets.values(), self._handlers)
        ]
        self.limits = ReadLimits()

    @property
    def limits(self) -> ReadLimits:
        """How much of a sample is read, and when."""
        return self._readers[0].limits

    @limits.setter
    def limits(self, limits: ReadLimits) -> None:
        for reader in self._readers:
            reader.limits = limits

    def samples(self, share: Share, after: Position = START) -> Iterator[tuple[Address, Sample]]:
        """The samples of a share as they are drawn: all, or those after a position. Raises as a SampleReader."""
        own = cast(MixShare, share.own if isinstance(share, JoinedShare) else share)
        streams = self._streams(share, own, after)
        try:
            drawn = mixed(streams, own.draws.order, own.stop, after.samples, own.samples)
            for dataset, number, (address, sample) in drawn:
                yield self._borders.join(dataset, number, address), self._named(dataset, number, sample)
                del sample
        finally:
            for stream in streams:
                stream.close()

    def _streams(self, share: Share, own: MixShare, after: Position) -> list[Stream[tuple[Address, Sample]]]:
        """The samples of each dataset that are left behind a position."""
        borders, last = self._borders, dict[int, Address]()
        for address in after.last:
            if last.setdefault(borders.split(address.shard)[0], address) != address:
                raise refuse("interleave.read.last", after.last, "must be one of each dataset at most")
        in_first = tuple(address for address in after.last if address.shard < borders.total)
        first = borders.divide(share, Position(in_first))

        def begin(dataset: int, number: int) -> Iterator[tuple[Address, Sample]]:
            address, left, position = last.get(dataset), first[dataset], START
            if number:
                left = own.in_pass(dataset, number)
                if address is not None and borders.split(address.shard)[1] == number:
                    position = START.advance(borders.own(address))
            return _located(self._readers[dataset].samples(left, position), self._names[dataset])

        def again(dataset: int) -> bool:
            return self._mix.stop == "never" and not self._handlers[dataset].stopped

        return [
            Stream(
                partial(begin, dataset),
                partial(again, dataset),
                number=borders.split(last[dataset].shard)[1] if dataset in last else 0,
                given=dataset in last,
            )
            for dataset in range(len(self._names))
        ]

    def _named(self, dataset: int, number: int, sample: Sample) -> Sample:
        """A sample with the name of its dataset, and the pass where there may be several."""
        named = type(sample)(sample)
        named[DATASET] = self._names[dataset]
        if self._mix.stop == "never":
            named[PASS] = number
        return named

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, Sample]]:
        """The samples at addresses, dataset by dataset. Raises ValueError where there is another, or none."""
        wanted: dict[int, dict[Address, list[Address]]] = {}
        for address in sorted(set(addresses)):
            of_dataset = wanted.setdefault(self._borders.split(address.shard)[0], {})
            of_dataset.setdefault(self._borders.own(address), []).append(address)
        for dataset, own in wanted.items():
            for found, sample in _located(self._readers[dataset].find(own), self._names[dataset]):
                for address in own[found]:
                    yield address, self._named(dataset, self._borders.split(address.shard)[1], sample)
                del sample

    def views(self, part: int) -> Iterator[tuple[int, Sample]]:
        """The samples of a part, with their numbers in it; see `clipx.datasets.dataset.SampleReader`."""
        dataset, number, own = self._borders.split(part)
        for at, sample in self._readers[dataset].views(own):
            yield at, self._named(dataset, number, sample)
            del sample


def _located(samples: Iterator[tuple[Address, Sample]], name: str) -> Iterator[tuple[Address, Sample]]:
    """The samples of a dataset, with its name in errors; it holds none of them."""
    with locating(dataset=name):
        yield from samples
