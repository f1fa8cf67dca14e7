"""The questions that the benchmarks answer, and what the page shows of their records.

A benchmark is shown on the page once it is in QUESTIONS and its file is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from _figures import Figure

HERE = Path(__file__).parent
RESULTS = HERE / "results"


class Question(NamedTuple):
    """A benchmark, by the question that it answers."""

    name: str
    question: str
    figures: tuple[Figure, ...]

    @property
    def file(self) -> Path:
        return HERE / f"bench_{self.name}.py"


SPEED = Figure("results", "Speed", "clips_per_second", "clips/s", charted="")
PEAK = Figure("memory", "Memory", "peak_bytes", "MB", 1e-6, lower=True, charted="")
OF_DECODER = Figure("results", "Files", "of_limit", "of the decoder alone", charted="")

_ALL = (
    Question(
        "copy",
        "How fast do whole frames get from an array into clips?",
        (Figure("results", "Copying", "gb_per_second", "GB/s", charted="224x224, stride 8, dilation 1$"),),
    ),
    Question(
        "format",
        "What does it cost to make the tensor that a model takes?",
        (
            SPEED._replace(key="arrays", title="From arrays"),
            OF_DECODER._replace(key="files", title="From files"),
            SPEED._replace(key="views", title="Three views of each clip", charted=None),
        ),
    ),
    Question(
        "resize",
        "What does it cost to resize?",
        (
            SPEED._replace(key="arrays", title="Arrays, resized", charted="of it"),
            OF_DECODER._replace(key="files", title="Files, resized"),
        ),
    ),
    Question(
        "rows",
        "How near are the kernel's rows to what the first cache can do, each by itself?",
        (Figure("results", "Rows", "nanoseconds", "ns a pixel or byte", lower=True),),
    ),
    Question(
        "small",
        "What does a small clip cost, and the import of clipx?",
        (
            Figure("small", "Small clips", "microseconds", "µs a clip", lower=True),
            Figure("imports", "Import", "milliseconds", "ms", lower=True),
        ),
    ),
    Question(
        "video",
        "How fast do video files become clips?",
        (
            OF_DECODER._replace(charted="^dense.*dilation 1$"),
            PEAK._replace(title="Memory of a file"),
        ),
    ),
    Question(
        "random_clip",
        "How fast is one random clip of each of many short videos?",
        (SPEED._replace(key="results", title="From bytes and paths"), SPEED._replace(key="batches", title="Batches")),
    ),
    Question(
        "clipdataset",
        "How fast is a map-style dataset of clips, and what does a true shuffle cost?",
        (
            SPEED._replace(title="A random clip of each video"),
            SPEED._replace(key="orders", title="Clips by their order", charted=None),
        ),
    ),
    Question(
        "sampling",
        "How fast are a few frames of a long file read: spread over it, or of its segments?",
        (SPEED._replace(title="Clips of long files"),),
    ),
    Question(
        "quality",
        'What does VideoOptions(quality="fast") gain, and what does it cost?',
        (SPEED._replace(title="Exact and fast", charted=None),),
    ),
    Question(
        "memory",
        "How much memory does a shuffled pipeline take?",
        (PEAK._replace(key="results", title="Memory of a pipeline"),),
    ),
    Question(
        "pipeline",
        "How fast is a whole pipeline?",
        (SPEED, PEAK._replace(title="Memory of all processes")),
    ),
    Question(
        "scaling",
        "What would more cores do for a Loader?",
        (
            Figure("results", "On this machine", "clips_per_second", "clips/s", charted=""),
            Figure("model", "With more cores, by the model", "clips_per_second", "clips/s"),
        ),
    ),
    Question(
        "epochs",
        "Does the memory of a Loader grow over its epochs?",
        (PEAK._replace(title="Memory of a Loader over five epochs", charted=None),),
    ),
    Question(
        "resume",
        "How fast does a stopped run go on?",
        (Figure("results", "To the next batch", "to_the_batch", "s", lower=True, charted="at 90%$"),),
    ),
    Question(
        "state",
        "What does it cost to save the state of a Loader?",
        (
            Figure("tracking", "Saved after every batch", "batches_per_second", "batches/s", charted=""),
            Figure("states", "Size of a state", "state_bytes", "kB", 1e-3, lower=True),
        ),
    ),
    Question(
        "index",
        "How fast is an index built, and how fast is a clip of a video that is opened by it?",
        (
            SPEED._replace(key="build", title="Building an index"),
            SPEED._replace(key="open", title="Opening and reading one clip", charted=None),
        ),
    ),
    Question(
        "extract",
        "How fast are clips written as shards, and in how much memory?",
        (
            SPEED._replace(key="arrays", title="Arrays", charted=None),
            SPEED._replace(key="encodings", title="Encodings", charted=None),
            SPEED._replace(key="clips", title="Some clips of each video"),
            PEAK._replace(title="Memory of a job", charted=None),
        ),
    ),
    Question(
        "remote",
        "How fast is one clip of a remote file, and how fast does a run over a remote shard go on?",
        (
            Figure("clips", "One clip of a remote file", "of_file", "of the file read", lower=True),
            Figure("resume", "Going on with a remote shard", "of_file", "of the shard read", lower=True),
        ),
    ),
    Question("mapped", "How fast are clips made from mapped files?", (SPEED, PEAK)),
    Question("audio", "How fast does sound become clips?", (SPEED,)),
    Question(
        "random_sound",
        "How fast is one random clip of each of many sounds, or a few clips of a long one?",
        (
            SPEED._replace(title="Clips of many sounds", charted="^first visit.*300 s"),
            SPEED._replace(key="batches", title="Batches of sound"),
        ),
    ),
)
QUESTIONS = {question.name: question for question in _ALL}
