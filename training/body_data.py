"""Canvases and what the teacher sees in them, made once and kept as memory-mapped arrays.

    python training/body_data.py --pictures PEOPLE --teacher TEACHER.onnx --out DATA

A canvas is 320 x 320 pixels at the size the student will see: one picture, a mosaic of two or four
around places with people, a close-up, or a place without anybody; some have patterns, flags and
signs pasted in. The teacher looks at it as it is, mirrored at 1.5 times the size for small people,
and at half the size for large ones. Colours and mirroring are left to the training.

Files: <out>/<part>_img.npy (n, 320, 320, 3) uint8, <part>_map.npy (n, 57, 40, 40) int8, 120 for 1,
<part>.json {"n": usable so far}; looks.npz what the teacher saw in the pictures. Every 20th picture
is held out for the part "val"; every second picture without anybody is kept for measuring.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from layout import BACKGROUND, MAPS, PARTS, STRIDE, mirrored

CANVAS = 320
GRID = CANVAS // STRIDE
QUANTUM = 120.0
LOOK = 256  # longer side at which pictures are looked at for people

Image = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]

# How often pictures of a source are drawn; those not named here once.
SOURCE_WEIGHT = {"surv": 1.3, "room": 0.4, "webc": 0.5, "webg": 0.7, "webl": 0.5, "flic": 1.4}


PORTRAITS = ("webc", "webg", "webl", "room")  # one person near the camera


class Teacher:
    """human-pose-estimation-0001 on one thread."""

    def __init__(self, path: Path) -> None:
        import openvino as ov

        self._core = ov.Core()
        self._path = path
        self._compiled: dict[tuple[int, int], Any] = {}

    def __call__(self, image: Image) -> Maps:
        """The 57 maps of a picture (h, w, 3), whose sides are multiples of 8."""
        size = image.shape[:2]
        if size not in self._compiled:
            model = self._core.read_model(self._path)
            model.reshape([1, 3, *size])
            # Pinned, every worker's one thread would sit on the first core.
            options = {
                "INFERENCE_NUM_THREADS": 1,
                "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False,
            }
            self._compiled[size] = self._core.compile_model(model, "CPU", options)
        compiled = self._compiled[size]
        found = compiled(image.transpose(2, 0, 1)[None].astype(np.float32))
        by_name = {name: port for port in compiled.outputs for name in port.get_names()}
        return np.concatenate([found[by_name["heatmaps"]][0], found[by_name["pafs"]][0]])

    def merged(self, canvas: Image) -> Maps:
        """What three looks at a canvas say together, on the student's grid."""
        fine = _weighted(self._look(canvas, 1.0, False), self._look(canvas, 1.5, True))
        return _filled(fine, self._look(canvas, 0.5, False))

    def _look(self, canvas: Image, factor: float, mirror: bool) -> Maps:
        side = int(CANVAS * factor)
        image = canvas
        if factor != 1:
            how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            image = cv2.resize(canvas, (side, side), interpolation=how)
        maps = self(np.ascontiguousarray(image[:, ::-1]) if mirror else image)
        maps = mirrored(maps) if mirror else maps
        cells = np.ascontiguousarray(maps.transpose(1, 2, 0))
        # Peaks stay as sharp as the teacher's: averages over areas would not leave them so.
        return cv2.resize(cells, (GRID, GRID), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)


def _strength(maps: Maps) -> Maps:
    """Of parts and limbs, a value for each channel."""
    heat = np.clip(maps[: PARTS + 1], 0, 1)
    heat[BACKGROUND] = 0
    fields = maps[PARTS + 1 :].reshape(-1, 2, *maps.shape[1:])
    return np.concatenate([heat, np.repeat(np.hypot(fields[:, 0], fields[:, 1]), 2, axis=0)])


def _weighted(a: Maps, b: Maps) -> Maps:
    """The mean of two looks, the one that sees more counting more: small people are seen by one."""
    of_a, of_b = _strength(a) + 0.3, _strength(b) + 0.3
    return (a * of_a + b * of_b) / (of_a + of_b)


def _filled(fine: Maps, coarse: Maps) -> Maps:
    """The fine look, and the coarse one where it sees what the fine one does not: large people.

    Its peaks are wide, so it has no say within three cells of what was seen already.
    """
    there = np.ascontiguousarray(_strength(fine).transpose(1, 2, 0))
    there = cv2.dilate(there, np.ones((7, 7), np.uint8)).transpose(2, 0, 1)
    found = _strength(coarse)
    share = 0.75 * np.clip(found - there, 0, None) / (found + 0.05)
    share[BACKGROUND] = share[:PARTS].max(axis=0)
    return fine + share * (coarse - fine)


@dataclass(frozen=True, eq=False)
class Source:
    """A training picture: where people are in it (None: nobody), and how often it is drawn."""

    image: Image
    people: npt.NDArray[np.float64] | None
    weight: float


def look(teacher: Teacher, image: Image) -> tuple[Maps, float]:
    """Where people are (33, 33), and the highest peak of two looks at a picture."""
    top = 0.0
    density = np.zeros((33, 33), np.float32)
    for longer in (LOOK, LOOK * 3 // 2):
        factor = longer / max(image.shape[:2])
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        pad = [(0, -side % STRIDE) for side in small.shape[:2]]
        small = np.pad(small, (*pad, (0, 0)), constant_values=128)
        square = np.full((longer, longer, 3), 128, np.uint8)
        square[: small.shape[0], : small.shape[1]] = small[:longer, :longer]
        maps = teacher(square)
        top = max(top, float(maps[:PARTS].max()))
        rows, columns = -(-small.shape[0] // STRIDE), -(-small.shape[1] // STRIDE)
        seen = np.clip(1 - maps[BACKGROUND, :rows, :columns], 0, 1)
        seen *= seen > 0.15
        density += cv2.resize(seen, (33, 33), interpolation=cv2.INTER_AREA)
    return density, top


def fill_colour(rng: np.random.Generator) -> tuple[int, ...]:
    kind = rng.random()
    if kind < 0.5:
        return (128, 128, 128)
    return tuple(int(v) for v in rng.integers(0, 256, 3)) if kind < 0.85 else (0, 0, 0)


def tile(
    rng: np.random.Generator,
    source: Source,
    size: tuple[int, int],
    scales: tuple[float, float],
    fill: tuple[int, ...],
) -> Image:
    """One picture in a tile (width, height): scaled, turned, around a place with people.

    scales  of the picture's longer side in canvases
    """
    width, height = size
    picture = source.image
    h, w = picture.shape[:2]
    factor = float(np.exp(rng.uniform(*np.log(scales)))) * CANVAS / max(h, w)
    turned = rng.random() < 0.5
    angle = float(np.clip(rng.normal(0, 13), -38, 38)) if turned else 0.0
    if source.people is not None and rng.random() < 0.85:
        k = rng.choice(source.people.size, p=source.people.ravel())
        cy, cx = divmod(k, source.people.shape[1])
        cx = (cx + rng.random()) * w / source.people.shape[1]
        cy = (cy + rng.random()) * h / source.people.shape[0]
    else:
        cx, cy = rng.uniform(0, w), rng.uniform(0, h)
    tx, cx = _placed(rng, cx, w, factor, width)
    ty, cy = _placed(rng, cy, h, factor, height)
    matrix = cv2.getRotationMatrix2D((0, 0), angle, factor)
    matrix[:, 2] = np.array((tx, ty)) - matrix[:, :2] @ (cx, cy)
    if factor < 0.5:  # the warp below does not average
        picture = cv2.resize(
            picture, None, fx=2 * factor, fy=2 * factor, interpolation=cv2.INTER_AREA
        )
        matrix[:, :2] *= w / picture.shape[1]
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(
        picture, matrix, size, flags=how, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def _placed(
    rng: np.random.Generator, centre: float, length: int, factor: float, room: int
) -> tuple[float, float]:
    """Where in the tile a point of the picture goes; the tile is covered if the picture can."""
    to = room * rng.uniform(0.25, 0.75)
    if length * factor > room:
        centre = float(np.clip(centre, to / factor, length - (room - to) / factor))
    else:
        to = rng.uniform(centre * factor, room - (length - centre) * factor)
    return to, centre


def clutter(rng: np.random.Generator, canvas: Image) -> None:
    """Paste stripes, checks, rings, stars or letters: what a student takes for people."""
    for _ in range(int(rng.integers(1, 4))):
        w, h = (int(v) for v in rng.integers(30, 170, 2))
        patch = np.full((h, w, 3), rng.integers(0, 256, 3), np.uint8)
        colours = [tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(3)]
        kind = rng.integers(5)
        step = int(rng.integers(4, 26))
        for k in range(0, w + h, 2 * step):
            if kind == 0:
                cv2.rectangle(patch, (k, 0), (k + step - 1, h), colours[0], -1)
            elif kind == 1:
                cv2.rectangle(patch, (0, k), (w, k + step - 1), colours[0], -1)
            elif kind == 2:
                centre = (int(rng.integers(w)), int(rng.integers(h)))
                cv2.circle(patch, centre, step, colours[k % 3], int(rng.choice((-1, 2, 5))))
            elif kind == 3:
                corner = rng.integers(0, (w, h))
                shape = (corner + rng.normal(0, step, (int(rng.integers(3, 9)), 2))).astype(
                    np.int32
                )
                cv2.fillPoly(patch, [shape], colours[k % 3])
            else:
                letters = "".join(chr(c) for c in rng.integers(48, 91, 8))
                cv2.putText(
                    patch, letters, (2, k), int(rng.integers(8)), step / 16, colours[k % 3], 2
                )
        if kind < 2 and rng.random() < 0.5:  # a flag
            cv2.rectangle(patch, (0, 0), (w * 2 // 5, h // 2), colours[1], -1)
            for x in range(6, w * 2 // 5, 12):
                for y in range(6, h // 2, 12):
                    cv2.circle(patch, (x, y), 3, colours[2], -1)
        angle = float(rng.normal(0, 12))
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1)
        matrix[:, 2] += rng.uniform(-w / 2, CANVAS - w / 2), rng.uniform(-h / 2, CANVAS - h / 2)
        if rng.random() < 0.5:
            patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.5, 2))
        mask = cv2.warpAffine(np.full((h, w), 1.0, np.float32), matrix, (CANVAS, CANVAS))[..., None]
        pasted = cv2.warpAffine(patch, matrix, (CANVAS, CANVAS))
        mask *= rng.choice((1.0, rng.uniform(0.4, 1)))
        canvas[:] = (canvas * (1 - mask) + pasted * mask).astype(np.uint8)


def compose(
    rng: np.random.Generator,
    somebody: Callable[[], Source],
    portrait: Callable[[], Source],
    nobody: Callable[[], Source],
) -> Image:
    kind = rng.random()
    fill = fill_colour(rng)
    whole = (CANVAS, CANVAS)
    if kind < 0.36:
        return tile(rng, somebody(), whole, (0.8, 2.0), fill)
    if kind < 0.44:
        return tile(rng, somebody(), whole, (1.8, 4.5), fill)
    if kind < 0.52:
        return tile(rng, portrait(), whole, (0.9, 2.2), fill)
    if kind < 0.62:
        return tile(rng, nobody(), whole, (1.0, 2.0), fill)
    canvas = np.empty((CANVAS, CANVAS, 3), np.uint8)
    x, y = (int(v) for v in rng.integers(CANVAS * 3 // 10, CANVAS * 7 // 10, 2))
    columns, rows = [(0, x), (x, CANVAS)], [(0, y), (y, CANVAS)]
    scales = (0.35, 1.0)
    if kind < 0.78:
        scales = (0.55, 1.5)
        if rng.random() < 0.5:
            columns = [(0, CANVAS)]
        else:
            rows = [(0, CANVAS)]
    for left, right in columns:
        for top, bottom in rows:
            who = nobody() if rng.random() < 0.06 else somebody()
            size = (right - left, bottom - top)
            canvas[top:bottom, left:right] = tile(rng, who, size, scales, fill)
    return canvas


def spoilt(rng: np.random.Generator, canvas: Image) -> Image:
    """Blurred, compressed or sharpened, as pictures are."""
    kind = rng.random()
    if kind < 0.06:
        return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2))
    if kind < 0.12:
        packed = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))])
        return cv2.imdecode(packed[1], cv2.IMREAD_COLOR)
    if kind < 0.32:
        amount = rng.uniform(0.3, 1.2)
        blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 1.6))
        return cv2.addWeighted(canvas, 1 + amount, blurred, -amount, 0)
    return canvas


def held_out(index: int) -> bool:
    """Whether a picture, by its place in the sorted folder, is kept from training."""
    return index % 20 == 7


def kept_empty(index: int) -> bool:
    """Whether a picture, if nobody is in it, is kept for measuring false people."""
    return index % 2 == 1


def empty_region(rng: np.random.Generator, image: Image, density: Maps) -> Image | None:
    """The largest of some parts of a picture in which nobody was seen."""
    h, w = image.shape[:2]
    seen = cv2.resize(density, (w, h))
    best = None
    for _ in range(30):
        height, width = (int(v) for v in rng.integers(70, (max(h, 71), max(w, 71))))
        y, x = rng.integers(0, h - min(h, height) + 1), rng.integers(0, w - min(w, width) + 1)
        part = slice(y, y + height), slice(x, x + width)
        if seen[part].max() < 0.12 and (
            best is None or height * width > best.shape[0] * best.shape[1]
        ):
            best = image[part]
    return best


@dataclass(frozen=True)
class Pictures:
    """Those with somebody, the portraits among them, and those or parts without anybody."""

    people: list[Source]
    portraits: list[Source]
    nobody: list[Source]


def read_pictures(files: list[Path], looks: Any, val: bool) -> Pictures:
    rng = np.random.default_rng(0)
    people, portraits, empty = [], [], []
    for k, file in enumerate(files):
        nobody = looks["top"][k] < 0.12
        if held_out(k) != val or (nobody and kept_empty(k)):
            continue
        image = cv2.imread(str(file))
        density = looks["density"][k]
        if nobody:
            empty.append(Source(image, None, 1.0))
            continue
        if looks["top"][k] > 0.3 and density.sum() > 1:
            weight = SOURCE_WEIGHT.get(file.name[:4], 1.0)
            there = density.astype(np.float64)
            source = Source(image, there / there.sum(), weight)
            people.append(source)
            if file.name[:4] in PORTRAITS:
                portraits.append(source)
        region = empty_region(rng, image, density)
        if region is not None:
            empty.append(Source(region, None, 1.0))
    return Pictures(people, portraits or people, empty or people)


def drawer(rng: np.random.Generator, pictures: list[Source]) -> Callable[[], Source]:
    weights = np.array([picture.weight for picture in pictures])
    weights /= weights.sum()
    return lambda: pictures[int(rng.choice(len(pictures), p=weights))]


def make_part(arguments: argparse.Namespace, part: str, seed: int, count: int) -> None:
    """One worker: canvases until the count or the time is reached."""
    cv2.setNumThreads(1)
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    files = sorted(arguments.pictures.glob("*.jpg"))
    pictures = read_pictures(files, np.load(arguments.out / "looks.npz"), part == "val")
    draw = [drawer(rng, kind) for kind in (pictures.people, pictures.portraits, pictures.nobody)]
    teacher = Teacher(arguments.teacher)

    def mapped(kind: str, shape: tuple[int, ...], dtype: type) -> Any:
        path = arguments.out / f"{part}_{kind}.npy"
        return np.lib.format.open_memmap(path, "w+", dtype, (count, *shape))

    images = mapped("img", (CANVAS, CANVAS, 3), np.uint8)
    maps = mapped("map", (MAPS, GRID, GRID), np.int8)
    done = 0
    while done < count and time.monotonic() - started < arguments.seconds:
        canvas = compose(rng, *draw)
        if rng.random() < 0.15:
            clutter(rng, canvas)
        found = teacher.merged(canvas)
        images[done] = spoilt(rng, canvas)
        maps[done] = np.clip(np.rint(found * QUANTUM), -127, 127).astype(np.int8)
        done += 1
        if done % 200 == 0 or done == count:
            (arguments.out / f"{part}.json").write_text(json.dumps({"n": done}))
            print(part, done, round(time.monotonic() - started), "s", flush=True)
    (arguments.out / f"{part}.json").write_text(json.dumps({"n": done}))


def look_at(job: tuple[Path, list[Path]]) -> list[tuple[Maps, float]]:
    cv2.setNumThreads(1)
    teacher = Teacher(job[0])
    return [look(teacher, cv2.imread(str(file))) for file in job[1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=8000, help="canvases a worker, at most")
    parser.add_argument("--val", type=int, default=320, help="canvases of held-out pictures")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop making canvases then")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = sorted(arguments.pictures.glob("*.jpg"))
    context = multiprocessing.get_context("spawn")
    looks = arguments.out / "looks.npz"
    if not looks.exists():
        parts = [files[k :: arguments.workers] for k in range(arguments.workers)]
        density = np.zeros((len(files), 33, 33), np.float32)
        top = np.zeros(len(files), np.float32)
        with context.Pool(arguments.workers) as pool:
            found = pool.map(look_at, [(arguments.teacher, part) for part in parts], chunksize=1)
        for k, rows in enumerate(found):
            density[k :: arguments.workers] = [row[0] for row in rows]
            top[k :: arguments.workers] = [row[1] for row in rows]
        np.savez(looks, density=density, top=top)
        print("nobody in", int((top < 0.12).sum()), "of", len(files), flush=True)
    jobs = (
        [("val", arguments.seed, arguments.val)]
        if not (arguments.out / "val.json").exists()
        else []
    )
    jobs += [
        (f"{arguments.seed}_{k}", arguments.seed * 100 + k, arguments.count)
        for k in range(arguments.workers)
    ]
    workers = [context.Process(target=make_part, args=(arguments, *job)) for job in jobs if job[2]]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
