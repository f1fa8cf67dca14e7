"""Train a small 3D convolutional net on clips, on one process or several, and go on where it was stopped.

    python examples/train.py
    torchrun --nproc-per-node 2 examples/train.py videos-{000..099}.tar

Without shards it makes its own: textures that move left, right, up or down. The direction is the class, and no single
frame tells it. In shards of yours, each video is `mp4` and its class, a number from 0 to 3, is `cls`.

Ctrl-C and SIGTERM end the step, save and exit; a run that was killed has its last checkpoint. The same command goes on
from there: on a CPU with the very losses of an unbroken run, whatever the number of threads that decode.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.distributed as dist
import webdataset
from torch import nn

import clipx

DIRECTIONS = ((0, -1), (0, 1), (-1, 0), (1, 0))  # rows and columns of each class: left, right, up, down
SIDE, FRAMES = 40, 32  # of a video that is made here
CROP = 32
WINDOW = clipx.WindowSpec(length=8, stride=4)
# No flip: what moves left would move right.
FORMAT = clipx.ClipFormat(
    resize=SIDE, crop=("random", CROP), scale=1 / 255, mean=[0.5] * 3, std=[0.25] * 3, dtype="float32", order="CTHW"
)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def make_shards(folder: Path, shards: int = 8, videos: int = 16) -> None:
    """Write so many shards of so many videos; the folder is there when all are."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for shard in range(shards):
        with webdataset.TarWriter(str(new / f"{shard:03d}.tar")) as tar:
            for number in range(shard * videos, (shard + 1) * videos):
                label = number % len(DIRECTIONS)
                tar.write({"__key__": f"video{number:04d}", "mp4": encode(move(number, label)), "cls": label})
    os.replace(new, folder)


def move(number: int, label: int) -> Iterator[np.ndarray]:
    """The frames of a video: a random texture that moves, and comes in again where it leaves."""
    rng = np.random.default_rng(number)
    picture = rng.integers(0, 256, (SIDE // 5, SIDE // 5, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
    speed = int(rng.integers(1, 3))
    for k in range(FRAMES):
        yield np.roll(picture, [k * speed * each for each in DIRECTIONS[label]], (0, 1))


def encode(frames: Iterator[np.ndarray]) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()


def make_net() -> nn.Module:
    """Three convolutions over time and space; normalised clip by clip, so that ranks have no statistics to share."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv3d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool3d((1, 4, 4)), nn.Flatten(), nn.Linear(64, len(DIRECTIONS)))


class Training:
    """What a checkpoint holds: net, optimizer, how far training is, and where the Loader of each rank stands."""

    def __init__(self, args: argparse.Namespace, rank: int, ranks: int, device: torch.device) -> None:
        self.rank, self.ranks, self.device = rank, ranks, device
        self.checkpoint = Path(args.checkpoint)
        self.net = make_net().to(device)
        self.model = self.net
        if ranks > 1:
            self.model = nn.parallel.DistributedDataParallel(self.net)
            # It sorts the gradients anew after its first step, and sums of three ranks and more are then rounded in
            # another way. This step, of nothing, is that first one, be it a new run or one that goes on.
            self.model(torch.zeros(1, 3, WINDOW.length, CROP, CROP, device=device)).sum().backward()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), args.lr)
        self.loader = clipx.Loader(
            args.shards[0] if len(args.shards) == 1 else args.shards,  # one text may have braces
            WINDOW,
            FORMAT,
            batch_size=args.batch_size,
            memory=args.memory,
            threads=args.threads,
            seed=args.seed,
            equal_batches=True,
            handler=clipx.wds.log_and_continue,
        )
        # The epoch is that of the next batch; of its clips, so many were seen, and so many of them named rightly.
        self.at = {"step": 0, "epoch": 0, "seen": 0, "right": 0}

    def save(self) -> None:
        """Write one file for all ranks, which are at the same step. It is the new one or the old one, never half."""
        states = [self.loader.state_dict()] * self.ranks
        if self.ranks > 1:
            dist.all_gather_object(states, states[0])
        if self.rank == 0:
            new = self.checkpoint.with_name(self.checkpoint.name + ".new")
            parts = {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "loaders": states}
            torch.save({**parts, "at": self.at}, new)
            os.replace(new, self.checkpoint)

    def load(self) -> None:
        """Go on from the file. With dropout, torch's random state of each rank would have to be in it."""
        saved = torch.load(self.checkpoint, map_location=self.device)
        if len(saved["loaders"]) != self.ranks:
            raise SystemExit(f"{self.checkpoint} is of {len(saved['loaders'])} ranks, but there are {self.ranks}")
        self.net.load_state_dict(saved["net"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loader.load_state_dict(saved["loaders"][self.rank])
        self.at = saved["at"]
        self.say(f"goes on from {self.checkpoint}, after step {self.at['step']}")

    def say(self, text: str) -> None:
        if self.rank == 0:
            print(text, flush=True)

    def step(self, batch: dict[str, Any], caught: set[int]) -> tuple[float, int | None]:
        """Learn from a batch. Returns the loss, the mean of all ranks, and a signal that one of them has caught."""
        labels = torch.as_tensor(batch["cls"], device=self.device)
        scores = self.model(torch.as_tensor(batch["mp4"]).to(self.device))
        loss = nn.functional.cross_entropy(scores, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        # Signals reach ranks at different steps: here all learn of them, and stop at the same one.
        right = int((scores.argmax(1) == labels).sum())
        told = [loss.item(), len(labels), right, *(number in caught for number in SIGNALS)]
        sums = torch.tensor(told, dtype=torch.float64, device=self.device)
        if self.ranks > 1:
            dist.all_reduce(sums)
        total, seen, right, *signals = sums.tolist()
        self.at["step"] += 1
        self.at["seen"] += int(seen)
        self.at["right"] += int(right)
        return total / self.ranks, next((number for number, count in zip(SIGNALS, signals) if count), None)

    def run(self, epochs: int, save_every: int, log: Path) -> int:
        """Train until so many epochs are done or a signal comes; returns the status to exit with."""
        at, caught = self.at, set[int]()
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: caught.add(number))
        if at["epoch"] >= epochs:
            self.say(f"{at['epoch']} epochs are done: ask for more with --epochs, or remove {self.checkpoint}")
        with log.open("a", buffering=1) as lines:
            while at["epoch"] < epochs:
                for batch in self.loader:
                    loss, stop = self.step(batch, caught)
                    facts = {"step": at["step"], "epoch": at["epoch"], "loss": loss, "crc32": zlib.crc32(batch["mp4"])}
                    lines.write(json.dumps(facts) + "\n")
                    if at["step"] % 20 == 0:
                        accuracy = at["right"] / at["seen"]
                        self.say(f"epoch {at['epoch']}, step {at['step']}: loss {loss:.3f}, accuracy {accuracy:.3f}")
                    if stop or at["step"] % save_every == 0:
                        self.save()
                    if stop:
                        self.say(f"stopped after step {at['step']}: the same command goes on from {self.checkpoint}")
                        return 128 + stop
                self.say(f"epoch {at['epoch']}: accuracy {at['right'] / max(at['seen'], 1):.3f} of {at['seen']} clips")
                # The Loader's state is now the beginning of the next epoch.
                at.update(epoch=at["epoch"] + 1, seen=0, right=0)
                self.save()
        return 0


def cut_log(log: Path, step: int) -> None:
    """Leave out the steps after this one: they come again."""
    if log.is_file():
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(itertools.takewhile(lambda line: json.loads(line)["step"] <= step, lines)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("shards", nargs="*", help="as a Loader takes them; if none, they are made in the folder --data")
    parser.add_argument("--data", default="clipx-train", help="folder of the shards that are made")
    parser.add_argument("--checkpoint", default="clipx-train.pt", help="file to save to and to go on from")
    parser.add_argument("--log-file", default=os.devnull, help="file for a line of JSON a step")
    parser.add_argument("--epochs", type=int, default=6, help="to train")
    parser.add_argument("--save-every", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--batch-size", type=int, default=16, help="clips of a batch, on each rank")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of the net's first weights and of the Loader")
    parser.add_argument("--memory", default="300MB", help="bytes of the Loader, on each rank")
    parser.add_argument("--threads", type=int, help="that decode, on each rank; if None, one for each processor")
    return parser.parse_args()


def main() -> int:
    args = parse()
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # A sum is rounded as it is split over threads: with one it is always the same, and the Loader has the other cores.
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if ranks > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if not args.shards:
        if rank == 0 and not Path(args.data).exists():
            make_shards(Path(args.data))
        if ranks > 1:
            dist.barrier()
        args.shards = sorted(str(path) for path in Path(args.data).glob("*.tar"))
    training = Training(args, rank, ranks, device)
    if training.checkpoint.exists():
        training.load()
    log = Path(args.log_file if rank == 0 else os.devnull)
    cut_log(log, training.at["step"])
    with training.loader:
        status = training.run(args.epochs, args.save_every, log)
    if ranks > 1:
        dist.barrier()
        # All is written. As Python ends, threads of a gloo group can abort the process ("terminate called ...").
        sys.stdout.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
