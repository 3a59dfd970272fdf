"""Train a student, on a schedule of steps, with checkpoints it can be taken up from.

    python training/train.py body --data DATA --out RUN --minutes 120 [--init NETWORK]
    python training/train.py hand --data DATA --out RUN --steps 4000
    python training/train.py face --data DATA --out RUN --minutes 60 --processes 1

The schedule ends after so many steps or minutes, whichever is first. Run again with the same
--out, an interrupted training goes on where it was. RUN/latest.pt is the
checkpoint, RUN/ema.pt the averaged weights, which are what is exported. Uses a GPU if there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as distributed
import torch.nn.functional as functional
from datasets import REGIONS, BodyData, Data, HandData, RegionData
from muon import Muon
from networks import (
    BODY,
    FACE,
    FOOT,
    HAND,
    Maps,
    Points,
    PointsShape,
    Shape,
    fitted,
    read_onnx,
)  # fmt: skip
from torch import Tensor, nn


class Task(Protocol):
    """What is learnt, and how.

    batch   pictures a step and process, of the smaller side
    sides   of the pictures: until `large`, and then
    large   share of the schedule
    """

    @property
    def batch(self) -> int: ...
    @property
    def sides(self) -> tuple[int, int]: ...
    @property
    def large(self) -> float: ...

    def network(self) -> nn.Module: ...

    def loss(self, found: Any, target: Tensor, share: float) -> Tensor:
        """Of what the network gives, at this share of the schedule."""

    def held_out(self, found: Any, target: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
        """Sums and counts: of the loss, and of what else tells how well it does."""


@dataclass(frozen=True)
class MapsTask:
    """Maps.

    positive    weight of a cell is 1 + positive * |target|; at the beginning and at the end
    background  weight of the background channel
    """

    shape: Shape
    positive: tuple[float, float]
    background: float
    batch: int
    sides: tuple[int, int]
    large: float

    def network(self) -> Maps:
        return Maps(self.shape)

    def loss(self, found: tuple[Tensor, Tensor], target: Tensor, share: float) -> Tensor:
        """Of both stages. What is there weighs much to begin with, less in the end, or people are
        invented."""
        early, late = self.positive
        weight = early + (late - early) * min(1.0, max(0.0, (share - 0.3) / 0.5))
        first, second = found
        return 0.5 * self.stage_loss(first, target, weight) + self.stage_loss(
            second, target, weight
        )

    def stage_loss(self, found: Tensor, target: Tensor, positive: float) -> Tensor:
        """Mean over cells; nothing where the target is NaN."""
        # Zero before anything is computed: the gradient of a NaN that is left out is NaN.
        known, target = target.isfinite(), target.nan_to_num()
        weight = 1 + positive * target.abs()
        weight[:, self.shape.background] = self.background
        return (weight * known * (found.float() - target) ** 2).sum(1).mean()

    def held_out(
        self, found: tuple[Tensor, Tensor], target: Tensor
    ) -> Sequence[tuple[Tensor, Tensor]]:
        """The loss, and the maps' height at the targets' peaks."""
        maps = found[1].float()
        count = torch.tensor(float(len(maps)))
        parts = slice(0, self.shape.background)
        peaks = target[:, parts] > 0.5
        return [
            (self.stage_loss(maps, target, self.positive[0]) * count, count),
            (maps[:, parts][peaks].sum(), target[:, parts][peaks].sum()),
        ]


@dataclass(frozen=True)
class PointsTask:
    """Points in squares, and whether anything is there.

    presence  weight of the latter
    """

    shape: PointsShape
    presence: float
    batch: int
    large: float = 1.0

    @property
    def sides(self) -> tuple[int, int]:
        return self.shape.side, self.shape.side

    def network(self) -> Points:
        return Points(self.shape)

    def loss(self, found: tuple[Tensor, Tensor], target: Tensor, share: float) -> Tensor:
        points, presence = found
        there = target.isfinite().flatten(1).all(1)
        apart = self._apart(points, target)
        said = functional.binary_cross_entropy_with_logits(presence.float(), there.float())
        return 100 * apart.mean() + self.presence * said

    def held_out(
        self, found: tuple[Tensor, Tensor], target: Tensor
    ) -> Sequence[tuple[Tensor, Tensor]]:
        """Mean distance in hundredths of the side, and the share of what is seen to be there."""
        points, presence = found
        there = target.isfinite().flatten(1).all(1)
        apart = 100 * self._apart(points, target)
        return [
            (apart.sum(), torch.tensor(float(apart.numel()))),
            ((presence[there] > 0).sum(), there.sum()),
        ]

    def _apart(self, points: Tensor, target: Tensor) -> Tensor:
        """Distances of the points that are there, in sides."""
        there = target.isfinite().flatten(1).all(1)
        off = points.float()[there] - target[there]
        return (off.square().sum(-1) + EPSILON**2).sqrt() - EPSILON


TASKS: dict[str, Task] = {
    "body": MapsTask(BODY, positive=(5, 1), background=0.1, batch=8, sides=(256, 320), large=0.8),
    "hand": MapsTask(HAND, positive=(15, 8), background=0.2, batch=12, sides=(224, 224), large=1.0),
    "face": PointsTask(FACE, presence=1.0, batch=32),
    "foot": PointsTask(FOOT, presence=2.0, batch=64),
}
EPSILON = 0.005  # of the side: nearer than this, distances count by their square
MUON, ADAM = 3.5e-3, 1.2e-3
DECAY = 1e-2
WARM_UP = 0.04
OUTLIER = 3.0  # times the usual gradient
AVERAGE = 0.99, 5  # of the weights: each so many steps
HELD_OUT_BATCH = 16
INIT_PICTURES = 32


def rate(share: float) -> float:
    """Of the learning rates, at this share of the schedule."""
    falling = 0.5 + 0.5 * math.cos(math.pi * max(0.0, share - WARM_UP) / (1 - WARM_UP))
    return min(1.0, share / WARM_UP + 0.02) * falling + 0.003


class Team:
    """Processes that learn together, each from pictures of its own."""

    def __init__(self, rank: int = 0, count: int = 1, meeting: str = "") -> None:
        self.rank, self.count = rank, count
        if count > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count
            )

    def agreed(self, value: float) -> float:
        """What the first process says."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)

    def average(self, gradients: list[Tensor]) -> None:
        """Over all, in place."""
        if self.count == 1:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = (flat / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, parts, strict=True):
            gradient.copy_(mean.view_as(gradient))


class Training:
    def __init__(
        self, task: Task, data: Data, held_out: Data, out: Path, seed: int, team: Team | None = None
    ) -> None:
        self.task, self.data, self.held_out, self.out = task, data, held_out, out
        self.team = team or Team()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.net = task.network().to(self.device, memory_format=torch.channels_last)
        self.average: dict[str, Tensor] = {}
        self.share, self.step, self.minutes = 0.0, 0, 0.0
        self.peak_rate = 1.0  # the highest, of MUON and ADAM
        # Processors without bfloat16 units would emulate it, ten times as slow as float32.
        self.half = self.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        self.usual = self.highest = 0.0  # norms of gradients

    def begin(self, init: Path | None, keep_stem: bool = False) -> None:
        """From random weights, those of a .onnx of `export.py`, or a narrower network's .pt.

        keep_stem  leave the layers at strides 2 and 4 as they are
        """
        if init is not None and init.suffix == ".onnx":
            indices = np.arange(min(INIT_PICTURES, len(self.data)))
            pictures, _ = self.data.batch(indices, None, self.task.sides[0])
            read_onnx(init, self.net, pictures.to(self.device))
        elif init is not None:
            self.net.load_state_dict(fitted(torch.load(init, self.device), self.net))
        self.keep_stem = keep_stem
        self.net.stem.requires_grad_(not keep_stem)
        self.average = {k: v.clone().float() for k, v in self.net.state_dict().items()}
        named = [(n, p) for n, p in self.net.named_parameters() if p.requires_grad]
        kernels = [p for n, p in named if p.ndim == 4 and "head" not in n and p.shape[1] > 3]
        known = {id(p) for p in kernels}
        rest = [p for _, p in named if id(p) not in known]
        self.optimisers = [
            Muon(kernels, MUON, decay=DECAY),
            torch.optim.AdamW(rest, ADAM, betas=(0.9, 0.98), weight_decay=0),
        ]

    def save(self) -> None:
        checkpoint = {
            "net": self.net.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "minutes": self.minutes,
            "rng": self.rng.bit_generator.state,
        }
        for name, content in (("latest.pt", checkpoint), ("ema.pt", self.average)):
            torch.save(content, self.out / f"{name}.part")
            os.replace(self.out / f"{name}.part", self.out / name)

    def resume(self) -> None:
        checkpoint = torch.load(self.out / "latest.pt", map_location=self.device)
        self.net.load_state_dict(checkpoint["net"])
        self.average = checkpoint["average"]
        for optimiser, state in zip(self.optimisers, checkpoint["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step, self.minutes = checkpoint["step"], checkpoint["minutes"]
        self.rng.bit_generator.state = checkpoint["rng"]

    def batches(self) -> Generator[tuple[Tensor, Tensor]]:
        """Endless; made by a thread of its own, ahead of the training, which ends with it."""
        ready: queue.Queue[tuple[Tensor, Tensor] | Exception] = queue.Queue(4)
        ended = threading.Event()
        # Of its own: the training's state is saved while the thread draws.
        rng = np.random.default_rng([int(self.rng.integers(2**63)), self.team.rank])

        def feed() -> None:
            order, at = self.data.order(rng), 0
            while not ended.is_set():
                side, batch = self.size()
                if at + batch > len(order):
                    order, at = self.data.order(rng), 0
                try:
                    ready.put(self.data.batch(order[at : at + batch], rng, side))
                except Exception as error:  # or the training would wait for ever
                    ready.put(error)
                    return
                at += batch

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            while True:
                made = ready.get()
                if isinstance(made, Exception):
                    raise made
                pictures, targets = made
                yield (
                    pictures.to(self.device, memory_format=torch.channels_last),
                    targets.to(self.device),
                )
        finally:  # a thread inside torch would abort the process when it ends
            ended.set()
            while feeder.is_alive():
                with suppress(queue.Empty):
                    ready.get(timeout=0.1)

    def size(self) -> tuple[int, int]:
        """Side and number of the pictures of a batch."""
        small, large = self.task.sides
        if self.share < self.task.large:
            return small, self.task.batch
        return large, max(4, self.task.batch * small**2 // large**2)

    def learn(self, run: Any, pictures: Tensor, targets: Tensor) -> float:
        for optimiser, most in zip(self.optimisers, (MUON, ADAM), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = most * self.peak_rate * rate(self.share)
            optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            found = run(pictures)
        total = self.task.loss(found, targets, self.share)
        total.backward()
        self.team.average([p.grad for p in self.net.parameters() if p.grad is not None])
        self.clip()
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        keep, every = AVERAGE
        if self.step % every == 0:
            self.remember(min(keep, (self.step + 5) / (self.step + 100)))
        return float(total.detach())

    def clip(self) -> None:
        """Bound the gradient by what is usual.

        Muon's momentum would go on for hundreds of steps in the direction of a single outlier.
        """
        limit = OUTLIER * self.usual if self.usual else math.inf
        norm = float(nn.utils.clip_grad_norm_(self.net.parameters(), limit))
        if not math.isfinite(norm):
            for parameter in self.net.parameters():
                parameter.grad = torch.zeros_like(parameter)
            return
        self.usual += 0.05 * (min(norm, limit) - self.usual) if self.usual else norm
        self.highest = max(self.highest, norm)

    @torch.no_grad()
    def remember(self, keep: float) -> None:
        now = self.net.state_dict()
        names = [k for k, v in now.items() if v.is_floating_point()]
        torch._foreach_mul_([self.average[k] for k in names], keep)
        torch._foreach_add_(
            [self.average[k] for k in names], [now[k] for k in names], alpha=1 - keep
        )

    @torch.no_grad()
    def validate(self) -> tuple[float, ...]:
        """What the task says of the averaged weights on held-out data, the loss first."""
        net = self.task.network().to(self.device, memory_format=torch.channels_last).eval()
        net.load_state_dict({k: v.to(net.state_dict()[k].dtype) for k, v in self.average.items()})
        totals: list[Tensor] = []
        side = self.task.sides[1]
        for start in range(0, len(self.held_out), HELD_OUT_BATCH):
            indices = np.arange(start, min(start + HELD_OUT_BATCH, len(self.held_out)))
            pictures, targets = self.held_out.batch(indices, None, side)
            targets = targets.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                found = net(pictures.to(self.device, memory_format=torch.channels_last))
            pairs = self.task.held_out(found, targets)
            totals.append(torch.tensor([[float(v) for v in pair] for pair in pairs]))
        sums = torch.stack(totals).sum(0)
        return tuple((sums[:, 0] / sums[:, 1]).tolist())

    def run(
        self, steps: float, every: float, compiled: bool, minutes: float = math.inf
    ) -> list[float]:
        """Until so many steps or minutes are done; checkpoints every so many minutes.

        Returns the losses.
        """
        net = torch.compile(self.net, dynamic=False) if compiled else self.net
        self.net.train()
        if self.keep_stem:
            self.net.stem.eval()
        before, begun = self.minutes, time.monotonic()
        saved, losses = begun, []
        with closing(self.batches()) as batches, self.saved_if_ended():
            while not self.over(steps, minutes):
                pictures, targets = next(batches)
                losses.append(self.learn(net, pictures, targets))
                self.minutes = before + (time.monotonic() - begun) / 60
                if self.team.rank > 0:
                    continue
                if self.step % 50 == 0:
                    self.log(
                        loss=round(float(np.mean(losses[-50:])), 4),
                        side=pictures.shape[-1],
                        gradient=[round(self.usual, 3), round(self.highest, 3)],
                    )
                    self.highest = 0.0
                if time.monotonic() - saved > every * 60:
                    saved = time.monotonic()
                    self.save()
                    self.log(held_out=[round(v, 4) for v in self.validate()])
        if self.team.rank == 0:
            self.save()
            self.log(held_out=[round(v, 4) for v in self.validate()])
        return losses

    @contextmanager
    def saved_if_ended(self) -> Generator[None]:
        """Save when the process is told to end."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self.team.rank == 0:
                self.save()
            raise

    def over(self, steps: float, minutes: float) -> bool:
        """Whether the schedule is at its end; the first process decides where it is."""
        self.share = self.team.agreed(max(self.step / steps, self.minutes / minutes))
        return self.share >= 1

    def log(self, **values: Any) -> None:
        line = json.dumps(
            {
                "time": time.strftime("%H:%M:%S"),
                "step": self.step,
                "share": round(self.share, 4),
                **values,
            }
        )
        print(line, flush=True)
        with open(self.out / "log.jsonl", "a") as file:
            file.write(line + "\n")


def prepared(arguments: argparse.Namespace) -> tuple[Data, Data]:
    """Data to train on, and held-out data."""
    root: Path = arguments.data
    if arguments.task in REGIONS:
        return (
            RegionData(root, arguments.task, held_out=False),
            RegionData(root, arguments.task, held_out=True),
        )
    if arguments.task == "hand":
        return (
            HandData(root, arguments.pictures, held_out=False),
            HandData(root, arguments.pictures, held_out=True),
        )
    return BodyData(root, held_out=False), BodyData(root, held_out=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--pictures", type=Path, nargs="*", default=[], help="hand: folders of the pictures"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=float, default=math.inf)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--init", type=Path, help="weights to begin with")
    parser.add_argument("--rate", type=float, default=1.0, help="peak, as a share of the usual")
    parser.add_argument(
        "--keep-stem", action="store_true", help="do not train strides 2 and 4: a tenth faster"
    )
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    if math.isinf(arguments.steps) and math.isinf(arguments.minutes):
        parser.error("give --steps, --minutes or both")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.processes == 1:
        work(0, arguments, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            work, (arguments, str(Path(folder) / "meeting")), nprocs=arguments.processes
        )


def work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """One process of the training."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    torch.set_num_threads(arguments.threads)
    team = Team(rank, arguments.processes, meeting)
    data, held_out = prepared(arguments)
    training = Training(TASKS[arguments.task], data, held_out, arguments.out, arguments.seed, team)
    training.peak_rate = arguments.rate
    training.begin(arguments.init, arguments.keep_stem)
    if (arguments.out / "latest.pt").exists():
        training.resume()
    if rank == 0:
        parameters = sum(p.numel() for p in training.net.parameters())
        training.log(pictures=len(data), parameters=parameters)
    training.run(arguments.steps, arguments.every, not arguments.no_compile, arguments.minutes)


if __name__ == "__main__":
    main()
