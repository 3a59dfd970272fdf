"""Pictures and what is known about the people in them -> packs for the training.

    python training/body_data.py DATA --labelled PICTURES people_labels.json
    python training/body_data.py DATA --empty PICTURES
    python training/body_data.py DATA --unlabelled PICTURES... --teacher TEACHER.onnx

Labels are taken as they are: places whose people are not annotated, and heads that are not, are
unknown, and the training learns nothing there. Without labels the teacher looks at each picture
three times, once mirrored; people it is sure of become points, whatever else it sees makes a
place unknown. Pictures of `--empty` have nobody, whatever the teacher would see. Pictures named
in nobody.tsv are left out. Each pack DATA/*.zip is ready as soon as it is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from known import ABSENT, THERE, UNKNOWN, Known, from_coco, person, read_pack, write_pack
from layout import BACKGROUND, PARTS, STRIDE, mirrored

from openpose_ext.models.manifest import read_manifest
from openpose_ext.stages.decode import decode_body
from openpose_ext.types.topology import COCO_18

LOOKS = 480, 360, 240  # longer side of the picture in each look
STEP = 32  # sides of the largest look are multiples: those of the others are whole cells, too
SURE_PART = 0.25
SURE_PERSON = 4, 0.4  # parts, and their mean score
SEEN = 0.2  # of a cell in which the teacher sees somebody
NEAR = 2.5  # cells around a sure part that are explained by it
PACK = 150  # pictures
OVERHEAD = 800  # bytes of a pack for each picture, beside the JPEG

HEAD = [COCO_18.parts.index(name) for name in ("Nose", "REye", "LEye", "REar", "LEar")]
COCO_HEAD = (0, 2, 1, 4, 3)  # the same in COCO's order

Image = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]


class Teacher:
    """human-pose-estimation-0001 on one thread."""

    def __init__(self, path: Path) -> None:
        import openvino as ov

        self.lift = read_manifest(path).lift or 0.0
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

    def seen(self, picture: Image) -> Maps:
        """What three looks at a picture (h, w, 3) say together, on the grid of the largest."""
        fine = self._look(picture, LOOKS[0], True)
        size = fine.shape[2], fine.shape[1]
        whole = _weighted(fine, _resized(self._look(picture, LOOKS[1], False), size))
        return _filled(whole, _resized(self._look(picture, LOOKS[2], False), size))

    def _look(self, picture: Image, longer: int, mirror: bool) -> Maps:
        """At the picture with this longer side; the other is filled up to a multiple of STEP."""
        factor = longer / max(picture.shape[:2])
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=how)
        step = STEP * longer // LOOKS[0]
        pad = [(0, -side % step) for side in image.shape[:2]]
        image = np.pad(image, (*pad, (0, 0)), constant_values=128)
        if mirror:
            return mirrored(self(np.ascontiguousarray(image[:, ::-1])))
        return self(image)


def _resized(maps: Maps, size: tuple[int, int]) -> Maps:
    # Peaks stay as sharp as the teacher's: averages over areas would not leave them so.
    cells = np.ascontiguousarray(maps.transpose(1, 2, 0))
    return cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)


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


def annotated(folder: Path, labels: Path) -> Iterator[Known]:
    """The labelled pictures of a COCO file, with the fields of train2's."""
    content = json.loads(labels.read_text())
    people: dict[int, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        people.setdefault(annotation["image_id"], []).append(annotation)
    for image in content["images"]:
        if not image.get("verified", True):  # left and right may be exchanged
            continue
        found, unknown = [], list(image.get("teacher_other_boxes", []))
        for annotation in people.get(image["id"], []):
            if annotation.get("iscrowd") or not any(annotation["keypoints"][2::3]):
                unknown.append(annotation["bbox"])
                continue
            points = from_coco(annotation["keypoints"])
            if not image.get("head_labelled", True):
                points[points[:, 2] == ABSENT, 2] = UNKNOWN
                for part, k in zip(HEAD, COCO_HEAD, strict=True):
                    x, y, score = annotation["teacher_head"][k]
                    if score > SURE_PART:
                        points[part] = x, y, THERE
            found.append(person(points, annotation["bbox"]))
        boxes = np.array(unknown, np.float32).reshape(-1, 4)
        jpeg = (folder / image["file_name"]).read_bytes()
        yield Known(image["file_name"], jpeg, tuple(found), boxes, labelled=True)


def empty(files: list[Path]) -> Iterator[Known]:
    for file in files:
        yield Known(file.name, file.read_bytes(), (), np.zeros((0, 4), np.float32), labelled=True)


def looked_at(teacher: Teacher, file: Path) -> Known:
    """A picture as the teacher sees it."""
    jpeg = file.read_bytes()
    picture = cv2.imread(str(file))
    maps = teacher.seen(picture)
    cell = STRIDE * max(picture.shape[:2]) / LOOKS[0]  # in pixels of the picture
    # The decoder's points are pixels of the look; 0.5 is half a pixel.
    to_picture = cell / STRIDE
    found, explained = [], np.zeros(maps.shape[1:], np.uint8)
    for points in decode_body(maps[: PARTS + 1], maps[PARTS + 1 :]).keypoints.copy():
        sure = points[:, 2] > SURE_PART
        if sure.sum() < SURE_PERSON[0] or points[sure, 2].mean() < SURE_PERSON[1]:
            continue
        for x, y in points[sure, :2]:
            centre = round(x / STRIDE - 0.5), round(y / STRIDE - 0.5)
            cv2.circle(explained, centre, round(NEAR), 1, -1)
        points[:, :2] = (points[:, :2] + 0.5) * to_picture - 0.5
        points[:, 1] += teacher.lift
        points[:, 2] = np.where(sure, THERE, UNKNOWN)
        low, high = points[sure, :2].min(axis=0), points[sure, :2].max(axis=0)
        found.append(person(points, (*low, *(high - low))))
    somebody = (1 - maps[BACKGROUND] > SEEN) & (explained == 0)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(somebody.astype(np.uint8))
    unknown = (boxes[1:, :4] + (-1, -1, 2, 2)).astype(np.float32) * cell
    return Known(file.name, jpeg, tuple(found), unknown, labelled=False)


_teacher = lru_cache(Teacher)  # one a process: it compiles the network for each size


def look_at(job: tuple[Path, Path, list[Path]]) -> None:
    """Write the pack of some pictures."""
    cv2.setNumThreads(1)
    path, pack, files = job
    teacher = _teacher(path)
    write_pack(pack, (looked_at(teacher, file) for file in files))
    print(pack, flush=True)


def packed(packs: list[Path], megabytes: float) -> Iterator[Known]:
    """The pictures of several packs, as many as fit: the labelled ones, empty ones, and others."""
    left = megabytes * 1e6
    for pack in sorted(packs):
        for known in read_pack(pack):
            left -= len(known.jpeg) + OVERHEAD
            if left < 0:
                return
            yield known


def measured() -> set[str]:
    """Names of the pictures in which false people are counted."""
    with open(Path(__file__).with_name("nobody.tsv"), newline="") as file:
        return {row["file"] for row in csv.DictReader(file, delimiter="\t")}


def unlabelled(folders: Sequence[Path], labels: Path | None) -> list[Path]:
    """The pictures of folders that are neither in a file of labels nor measured on.

    By a hash of their names: any part of them is a fair sample of all.
    """
    without = measured()
    if labels is not None:
        without |= {image["file_name"] for image in json.loads(labels.read_text())["images"]}
    files = {file.name: file for folder in folders for file in folder.glob("*.jpg")}
    names = sorted(files.keys() - without, key=lambda name: zlib.crc32(name.encode()))
    return [files[name] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="DATA")
    parser.add_argument("--labelled", type=Path, nargs=2, metavar=("PICTURES", "JSON"))
    parser.add_argument("--empty", type=Path, metavar="PICTURES")
    parser.add_argument("--unlabelled", type=Path, nargs="+", default=[], metavar="PICTURES")
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--pack", type=Path, help="write all packs of DATA into one, at last")
    parser.add_argument("--megabytes", type=float, default=60, help="of that one")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.labelled:
        write_pack(arguments.out / "labelled.zip", annotated(*arguments.labelled))
    if arguments.empty:
        files = sorted(arguments.empty.glob("*.jpg"))
        write_pack(arguments.out / "empty.zip", empty(files))
    files = unlabelled(arguments.unlabelled, arguments.labelled and arguments.labelled[1])
    jobs = [
        (arguments.teacher, arguments.out / f"looked{k:03}.zip", files[at : at + PACK])
        for k, at in enumerate(range(0, len(files), PACK))
    ]
    jobs = [job for job in jobs if not job[1].exists()]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for _ in pool.imap_unordered(look_at, jobs):
            pass
    if arguments.pack:
        packs = list(arguments.out.glob("*.zip"))
        write_pack(arguments.pack, packed(packs, arguments.megabytes))


if __name__ == "__main__":
    main()
