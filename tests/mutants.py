"""Damaged files for every reader: each raises what it documents, quickly and in little memory.

    python tests/mutants.py [--count 20000] [--seed 0] [--reader NAME ...]

A mutant is a whole file in which a few bytes were changed, taken out, doubled or put in, or which
was cut off; in text, numbers become huge and brackets nest. Each reader has a process of its own,
so that one that crashes is named. `tests/test_mutants.py` runs a few of each.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import videos
from openpose_ext.backends.protocol import InputFormat
from openpose_ext.backends.vdsp import check_vdsp_params, vdsp_params
from openpose_ext.errors import BackendError, ModelError, SourceError, UsageError
from openpose_ext.io.vamp_files import read_outputs
from openpose_ext.models.manifest import read_manifest, registry
from openpose_ext.perf import _config
from openpose_ext.run.coco_eval import Annotations
from openpose_ext.serve.cost import read_header
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.openpose_files import OpenPoseFiles
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.pictures import read_picture
from openpose_ext.sources.txt import read_txt
from openpose_ext.sources.video import Video

if TYPE_CHECKING:
    import torch

SECONDS = 2.0  # of CPU a file
BYTES = 200 << 20  # more than before

PIXELS = InputFormat(size=(64, 48))
NUMBERS = (b"0", b"-1", b"1e400", b"-1e38", b"9" * 30, b"9" * 400, b"NaN", b"null", b"1979-05-27")


@dataclass(frozen=True)
class Reader:
    """A reader, whole files for it by their suffix, and what it says that it raises."""

    files: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]
    raises: type[Exception]


def _picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    return cv2.blur(noise, (5, 5))


def pictures() -> dict[str, bytes]:
    suffixes = (".jpg", ".png", ".webp", ".gif", ".tif", ".bmp", ".avif", ".jp2", ".ppm")
    whole = {suffix: cv2.imencode(suffix, _picture())[1].tobytes() for suffix in suffixes}
    whole[".deep.png"] = cv2.imencode(".png", _picture().astype(np.uint16) << 4)[1].tobytes()
    return whole


def clips() -> dict[str, bytes]:
    whole = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mp4", ".mkv", ".avi"):
            file = videos.write(Path(folder) / f"a{suffix}", [videos.barred(k) for k in range(6)])
            whole[suffix] = file.read_bytes()
    whole[".mjpeg"] = cv2.imencode(".jpg", _picture())[1].tobytes() * 4
    return whole


def animations() -> dict[str, bytes]:
    frames = cv2.Animation()
    frames.frames = [_picture(), 255 - _picture(), _picture()[::-1].copy()]
    frames.durations = [40, 40, 40]
    return {
        suffix: cv2.imencodeanimation(suffix, frames)[1].tobytes()
        for suffix in (".gif", ".png", ".webp")
    }


def openpose() -> dict[str, bytes]:
    person = {
        "person_id": [3],
        "pose_keypoints_2d": [float(k) for k in range(54)],
        "hand_left_keypoints_2d": [0.5] * 63,
        "hand_right_keypoints_2d": [],
    }
    content = {"version": 1.3, "people": [person, person]}
    sized = [{**content, "canvas_width": 640, "canvas_height": 480}]
    return {
        ".json": json.dumps(content).encode(),
        ".canvas.json": json.dumps(sized).encode(),
    }


def texts() -> dict[str, bytes]:
    return {".txt": b"".join(b"%d" % k + b" 1 2 0.5" * 18 + b"\n" for k in range(3))}


def manifests() -> dict[str, bytes]:
    return {
        ".toml": b'# openpose_ext manifest 1\nkind = "body"\ntopology = "coco_18"\nstride = 8\n'
        b'output_layout = "NCHW"\nlicence = "mine"\ncrop = 368\nmin_score = 0.5\n\n[input]\n'
        b'layout = "NCHW"\nchannels = "BGR"\nmean = [128.0, 128.0, 128.0]\ndivisor = 256.0\n'
        b'size = [64, 64]\n\n[outputs]\nmaps = "heat+paf"\n'
    }


def registries() -> dict[str, bytes]:
    return {
        ".toml": b'[[model]]\nfile = "a.onnx"\nname = "a"\nsize = 12\nlicence = "mine"\n'
        b'urls = ["https://host/a"]\nhashes = { md5 = "' + b"0" * 32 + b'" }\n'
    }


def outputs() -> dict[str, bytes]:
    file = io.BytesIO()
    np.savez(file, output_0=np.zeros((1, 19, 4, 4), np.float16), output_1=np.zeros(8, np.float32))
    return {".npz": file.getvalue()}


def weights() -> dict[str, bytes]:
    import torch

    import original_networks

    with tempfile.TemporaryDirectory() as folder:
        file = original_networks.write(Path(folder) / "hand.pth", "hand", thin=32)
        content = torch.load(file, weights_only=True)
    odd = dict(content)
    key = next(iter(odd))
    whole = {
        ".pth": file_of(content),
        ".state.pth": file_of({"state_dict": content}),
        ".safetensors": safetensors(content),
    }
    for name, tensor in (
        ("meta", torch.empty(1 << 20, 1 << 20, device="meta")),
        ("sparse", torch.sparse_coo_tensor(size=(1 << 20, 1 << 20), check_invariants=True)),
        ("expanded", torch.zeros(1).expand(1 << 40)),
    ):
        whole[f".{name}.pth"] = file_of({**odd, key: tensor})
    return whole


def file_of(content: object) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    head, body = {}, b""
    for name, tensor in tensors.items():
        data = tensor.numpy().tobytes()
        ends = [len(body), len(body) + len(data)]
        head[name] = {"dtype": "F32", "shape": [*tensor.shape], "data_offsets": ends}
        body += data
    told = json.dumps(head).encode()
    return len(told).to_bytes(8, "little") + told + body


def annotated() -> dict[str, bytes]:
    person = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": [1, 2, 2] * 17, "area": 9.5}
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [{**person, "num_keypoints": 17, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "person"}],
    }
    return {".json": json.dumps(content).encode()}


def preprocessing() -> dict[str, bytes]:
    return {".json": json.dumps([vdsp_params(PIXELS)]).encode()}


def options() -> dict[str, bytes]:
    return {".yaml": b"batch_size: 2\nshape: [[3, 368, 368]]\niterations: 10\npercentiles: {}\n"}


def caffe() -> dict[str, bytes]:
    import caffe_networks

    net = caffe_networks.small()
    return {".caffemodel": caffe_networks.encoded(net, caffe_networks.random(net))}


def watch(path: Path) -> None:
    with Video(path) as source:
        for frame in source:
            frame.image  # noqa: B018  # decodes it


def play(path: Path) -> None:
    with Animation(path) as source:
        for frame in source:
            frame.image  # noqa: B018


def head(path: Path) -> None:
    read_header(path, 1 << 24)


def settings(path: Path) -> None:
    _config(str(path))


def preprocess(path: Path) -> None:
    check_vdsp_params(path, PIXELS)


def walk(path: Path) -> None:
    folder = path.parent / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "a_keypoints.json").write_bytes(path.read_bytes())
    with OpenPoseFiles(folder) as source:
        for frame in source:
            width, height = frame.size
            if width * height <= 1 << 24:
                frame.image  # noqa: B018


def manifest(path: Path) -> None:
    network = path.with_suffix("")
    network.touch()
    read_manifest(network)


def register(path: Path) -> None:
    registry.__wrapped__(path)


def load(path: Path) -> None:
    from openpose_ext.models.convert.original_weights import load_network

    load_network(path)


def caffemodel(path: Path) -> None:
    from openpose_ext.models.convert.caffemodel import read_caffemodel

    read_caffemodel(path)


READERS = {
    "picture": Reader(pictures, read_picture, SourceError),
    "video": Reader(clips, watch, SourceError),
    "animation": Reader(animations, play, SourceError),
    "upload": Reader(lambda: pictures() | animations() | clips(), head, SourceError),
    "openpose": Reader(openpose, read_openpose, SourceError),
    "folder": Reader(openpose, walk, SourceError),
    "txt": Reader(texts, read_txt, SourceError),
    "manifest": Reader(manifests, manifest, ModelError),
    "registry": Reader(registries, register, ModelError),
    "outputs": Reader(outputs, read_outputs, SourceError),
    "annotations": Reader(annotated, Annotations.read, ValueError),
    "options": Reader(options, settings, UsageError),
    "preprocessing": Reader(preprocessing, preprocess, BackendError),
    "weights": Reader(weights, load, ModelError),
    "caffemodel": Reader(caffe, caffemodel, ModelError),
}
NEEDS = {"weights": "torch", "caffemodel": "google.protobuf"}


def mutant(whole: bytes, chance: random.Random) -> bytes:
    """A damaged file."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not data:
            break
        at = chance.randrange(len(data))
        length = chance.choice((1, 2, 4, 16, 200))
        match chance.randrange(8):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 4:
                data[at:at] = chance.choice((b"[", b"{", b'{"a":', b"[[", b"a=")) * 20000
            case 5:
                ends = [k for k in range(len(data)) if data[k : k + 1].isdigit()][:2000]
                if ends:
                    at = chance.choice(ends)
                    data[at : at + 1] = chance.choice(NUMBERS)
            case _:
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def faults(name: str, count: int, seed: int) -> Iterator[str]:
    """What goes wrong with so many mutants of one reader's files."""
    reader = READERS[name]
    chance = random.Random(f"{name} {seed}")
    whole = reader.files()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            suffix = chance.choice(sorted(whole))
            first = number < len(whole)  # whole files come first, some are odd enough
            suffix = sorted(whole)[number] if first else suffix
            path = Path(folder) / f"mutant{suffix}"
            path.write_bytes(whole[suffix] if first else mutant(whole[suffix], chance))
            before, began = _most_bytes(), time.process_time()
            problem = ""
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reader.read(path)
            except reader.raises:
                pass
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__}: {error}"[:200] + f" ({place.name})"
            seconds, grown = time.process_time() - began, _most_bytes() - before
            if seconds > SECONDS:
                problem += f" {seconds:.1f} s of CPU"
            if grown > BYTES:
                problem += f" {grown >> 20} MB"
            if problem:
                kept = Path(tempfile.gettempdir()) / f"mutant-{name}-{seed}-{number}{suffix}"
                kept.write_bytes(path.read_bytes())
                yield f"{name} {number} ({kept}): {problem.strip()}"


def _most_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _run(name: str, count: int, seed: int, found: multiprocessing.Queue[str]) -> None:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries' own words
    for fault in faults(name, count, seed):
        found.put(fault)


def run(name: str, count: int, seed: int = 0) -> list[str]:
    """The faults of one reader, in a process of its own; one that crashes is a fault."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_run, args=(name, count, seed, found))
    process.start()
    lines = []
    while process.is_alive() or not found.empty():
        with suppress(Exception):
            lines.append(found.get(timeout=0.2))
    process.join()
    if process.exitcode:
        lines.append(f"{name}: the process ended with {process.exitcode}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", default=[*READERS], choices=[*READERS])
    args = parser.parse_args()
    bad = 0
    for name in args.reader:
        began = time.monotonic()
        count = args.count // len(args.reader)
        lines = run(name, count, args.seed)
        bad += len(lines)
        print(*lines, sep="\n")
        print(f"{name}: {count} files, {len(lines)} faults, {time.monotonic() - began:.0f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
