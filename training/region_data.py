"""What the teachers see of faces and feet, and places where there is none.

    python training/region_data.py face --packs DATA/*.zip --teacher face_landmark.tflite --out OUT
    python training/region_data.py foot --packs DATA/*.zip --teacher pose_landmark_full.tflite
        --out OUT [--body BODY.onnx --people PEOPLE...]

Where to look is told by people's points: those in packs of `body_data.py`, or what a body network
sees in folders of pictures. Each place is looked at as it is and mirrored; where the teacher is
sure both times, and says the same, the mean is learnt from. Where it is sure that there is nothing,
and at places around other parts, is a square without.

Writes OUT/<region>.npz: `name`, `points` (n, K, 2) in pixels of the picture, `right` (n,) bool,
and the square as `centre` (n, 2), `side` (n,), `angle` (n,); the same of
squares without, `other_...`. The pictures lie beside it, as JPEG files in OUT/pictures.zip.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from known import THERE, read_pack
from layout import FACE_MIRROR

from openpose_ext import PoseEstimator
from openpose_ext.models.network import CropNetwork, CropPoints, FaceNetwork, FootNetwork
from openpose_ext.stages.box import Box, parts_at
from openpose_ext.stages.heads import head_box
from openpose_ext.stages.legs import body_box, leg_boxes, leg_length
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture
from openpose_ext.types.topology import COCO_18

Points = npt.NDArray[np.float64]
People = Sequence[npt.NDArray[np.float32]]  # (18, 3) each: x, y, and whether the part is there

HEIGHT = 256  # of the body network's input
LEAST_SCORE = 0.3  # of parts that tell where to look
PIECE = 100  # pictures of a job
NOBODY = 2  # squares of a picture of nobody
AGREE = 0.05  # both mirrorings differ by less, in sides of the square

# Of the teacher's 468 points those of iBUG, in its order, and three of the forehead, with which the
# box of these is that of all.
FACE_POINTS = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
    10, 67, 297,
)  # fmt: skip
OUTER_EYES = 33, 263
# Clear faces have a presence of 1, hidden ones and those turned away less. What both mirrorings
# agree on is right from 0.73 on.
SURE_FACE, PERHAPS_FACE, NO_FACE = 0.73, 0.12, 0.0003
NO_FACE_ELSEWHERE = 0.5
LEAST_FACE = 22.0  # picture pixels: longer side of the box of all points
FIRST_LOOKS = (1.0, 1.4)  # in sides of the head's square, which is small for heads that are turned
SECOND_LOOK = 1.5  # side of the second look, in longer sides of that box

SURE_BODY, SURE_FOOT, NO_FOOT = 0.5, 0.3, 0.1
LEAST_LEG = 24.0  # picture pixels
ANKLE_APART = 0.3  # lower legs: teacher's ankle and the one that told where to look
FEET_APART = 3 * AGREE  # feet are learnt from where both mirrorings differ by less


class Seen(NamedTuple):
    """points (K, 2) in the picture, None where nothing is there; right: of that side."""

    points: Points | None
    box: Box
    right: bool = True


@dataclass
class Found:
    """By picture name: what is seen, and the pictures themselves."""

    seen: list[tuple[str, Seen]] = field(default_factory=list)
    jpegs: dict[str, bytes] = field(default_factory=dict)


def faces(
    teacher: CropNetwork, picture: Picture, person: npt.NDArray[np.float32]
) -> Iterator[Seen]:
    """The face of a person: two looks, the second level and close."""
    box = head_box(person, COCO_18)
    if box is None or box.side < LEAST_FACE:
        return
    looks = [
        look
        for enlarged in FIRST_LOOKS
        for look in both_ways(teacher, picture, replace(box, side=enlarged * box.side))
    ]
    points, presence = max(looks, key=lambda look: look[1])
    if presence < NO_FACE:
        yield Seen(None, box)
    if presence < PERHAPS_FACE:
        return
    close = around(points)
    (one, first), (other, second) = both_ways(teacher, picture, close)
    # The right half of a mirrored face is its left one.
    mine, mirrored = one[list(FACE_POINTS)], other[list(FACE_POINTS)][list(FACE_MIRROR)]
    apart = np.linalg.norm(mine - mirrored, axis=1).mean()
    box = around(one)
    if min(first, second) < SURE_FACE or apart > AGREE * close.side:
        return
    if box.side >= SECOND_LOOK * LEAST_FACE:
        yield Seen((mine + mirrored) / 2, box)


def both_ways(teacher: CropNetwork, picture: Picture, box: Box) -> list[tuple[Points, float]]:
    """All landmarks in the picture, and presence, of a square and of its mirror image."""
    looks = []
    for mirrored in (False, True):
        view = View(box.centre, box.side, teacher.crop, box.angle or 0.0, mirrored)
        answer = teacher.run(view.cut(picture)[None])
        assert isinstance(answer, CropPoints)
        assert answer.outline is not None
        points = view.to_picture(answer.outline[0].astype(np.float64))
        looks.append((points, float(answer.presence[0])))
    return looks


def around(points: Points) -> Box:
    """The level square around all points of a face."""
    across = points[OUTER_EYES[1]] - points[OUTER_EYES[0]]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    turned = View((0.0, 0.0), 1.0, 1, angle)
    flat = turned.to_network(points)
    low, high = flat.min(axis=0), flat.max(axis=0)
    x, y = turned.to_picture((low + high) / 2)
    return Box((float(x), float(y)), SECOND_LOOK * float((high - low).max()), angle)


def no_face(teacher: CropNetwork, picture: Picture, box: Box) -> bool:
    return max(presence for _, presence in both_ways(teacher, picture, box)) < NO_FACE_ELSEWHERE


def feet(teacher: CropNetwork, picture: Picture, person: npt.NDArray[np.float32]) -> Iterator[Seen]:
    """Both feet of a person, heel and big toe each."""
    legs, body = leg_boxes(person, COCO_18), body_box(person, COCO_18)
    length = leg_length(person, COCO_18)
    if body is None or length is None or length < LEAST_LEG or not any(legs):
        return
    (one, sure, there), (other, sure_mirrored, there_mirrored) = (
        _feet(teacher, picture, body, mirrored) for mirrored in (False, True)
    )
    # The left foot of a mirrored person is the right one.
    other, sure_mirrored = other[::-1], sure_mirrored[::-1]
    last = np.array(picture.shape[1::-1]) - 1
    for k, box in enumerate(legs):
        if box is None or box.anchor is None or min(there, there_mirrored) < SURE_BODY:
            continue
        mean = (one[k] + other[k]) / 2
        ankle, points = mean[0], mean[1:]
        agree = np.linalg.norm(one[k] - other[k], axis=1).max() < FEET_APART * box.side
        near = np.hypot(*(ankle - box.anchor)) < ANKLE_APART * length
        inside = ((points > -1) & (points < last + 1)).all(axis=1)
        if min(sure[k], sure_mirrored[k]) > SURE_FOOT and agree and near and inside.all():
            yield Seen(points, box, right=k == 1)
        elif max(sure[k], sure_mirrored[k]) < NO_FOOT or (near and not inside.any()):
            yield Seen(None, box, right=k == 1)


def _feet(
    teacher: CropNetwork, picture: Picture, box: Box, mirrored: bool
) -> tuple[Points, Points, float]:
    """(2, 3, 2) ankle, heel, toe of the left and right foot; surety of each foot; presence."""
    view = View(box.centre, box.side, teacher.crop, box.angle or 0.0, mirrored)
    answer = teacher.run(view.cut(picture)[None])
    assert isinstance(answer, CropPoints)
    assert answer.scores is not None
    points = view.to_picture(answer.points[0].astype(np.float64)).reshape(2, 3, 2)
    sure = answer.scores[0].astype(np.float64).reshape(2, 3)[:, 1:].min(axis=1)
    return points, sure, float(answer.presence[0])


def elsewhere(
    rng: np.random.Generator, picture: Picture, people: People, avoid: Sequence[str]
) -> Iterator[Seen]:
    """A square around another part, and one anywhere, that hold none of the parts to avoid."""
    height, width = picture.shape[:2]
    parts = [parts_at(person, COCO_18) for person in people]
    held = np.array([at[n] for at in parts for n in avoid if n in at]).reshape(-1, 2)
    others = [place for at in parts for n, place in at.items() if n not in avoid]
    centres = [rng.uniform(0, (width, height))]
    if others:
        centres.append(others[int(rng.integers(len(others)))])
    for x, y in centres:
        side = float(np.exp(rng.uniform(np.log(30), np.log(150))))
        if not np.any(np.abs(held - (x, y)).max(axis=1, initial=0) < 0.8 * side):
            yield Seen(None, Box((float(x), float(y)), side, float(rng.normal(0, 30))))


@dataclass(frozen=True)
class Region:
    """How a region is looked for.

    network  the kind of the teacher's
    look     at a person
    avoid    parts that other squares stay away from
    empty    whether the teacher sees nothing in a square elsewhere
    """

    network: type[CropNetwork]
    look: Callable[[CropNetwork, Picture, npt.NDArray[np.float32]], Iterator[Seen]]
    avoid: tuple[str, ...]
    empty: Callable[[CropNetwork, Picture, Box], bool]


REGIONS = {
    "face": Region(FaceNetwork, faces, ("Nose", "REye", "LEye", "REar", "LEar"), no_face),
    # The teacher knows whole people only.
    "foot": Region(FootNetwork, feet, ("RAnkle", "LAnkle"), lambda *_: True),
}


def from_pictures(name: str, teacher: Path, pictures: Iterator[tuple[str, bytes, People]]) -> Found:
    region = REGIONS[name]
    found = Found()
    with region.network.open(teacher, precision="f32", threads=1) as network:
        for file, jpeg, people in pictures:
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            seen = [s for person in people for s in region.look(network, picture, person)]
            rng = np.random.default_rng(zlib.crc32(file.encode()))
            for _ in range(1 if people else NOBODY):
                for other in elsewhere(rng, picture, people, region.avoid):
                    if region.empty(network, picture, other.box):
                        seen.append(other)
            if seen:
                found.seen += [(file, one) for one in seen]
                found.jpegs[file] = jpeg
    return found


def of_pack(job: tuple[str, Path, Path, int, int]) -> Found:
    """What is to be learnt of some pictures of a pack."""
    cv2.setNumThreads(1)
    name, teacher, pack, part, parts = job

    def pictures() -> Iterator[tuple[str, bytes, People]]:
        for k, known in enumerate(read_pack(pack)):
            if k % parts == part and not (known.people == () and len(known.unknown)):
                yield known.name, known.jpeg, [_sure(p.points, THERE) for p in known.people]

    return from_pictures(name, teacher, pictures())


def of_files(job: tuple[str, Path, Path, list[Path]]) -> Found:
    """What is to be learnt of some pictures in which a body network sees people."""
    cv2.setNumThreads(1)
    name, teacher, body, files = job

    def pictures() -> Iterator[tuple[str, bytes, People]]:
        for file in files:
            picture = cv2.imread(str(file))
            people = [_sure(p, LEAST_SCORE) for p in bodies(picture).keypoints]
            if people:  # whether nobody is there is not known
                yield file.name, file.read_bytes(), people

    with PoseEstimator(
        body, height=HEIGHT, precision="f32", threads=1, streams=1, raw_scores=True
    ) as bodies:
        return from_pictures(name, teacher, pictures())


def _sure(points: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.float32]:
    """The points that are surer; the others are missing."""
    return np.where(points[:, 2:] >= least, points, 0).astype(np.float32)


def measured() -> set[str]:
    """Names of the pictures in which false people are counted."""
    with open(Path(__file__).with_name("nobody.tsv"), newline="") as file:
        return {row["file"] for row in csv.DictReader(file, delimiter="\t")}


def write(found: Found, region: str, out: Path) -> None:
    arrays: dict[str, Any] = {}
    for prefix, rows in (
        ("", [(n, s) for n, s in found.seen if s.points is not None]),
        ("other_", [(n, s) for n, s in found.seen if s.points is None]),
    ):
        arrays |= {
            f"{prefix}name": np.array([n for n, _ in rows]),
            f"{prefix}centre": np.array([s.box.centre for _, s in rows]),
            f"{prefix}side": np.array([s.box.side for _, s in rows]),
            f"{prefix}angle": np.array([s.box.angle or 0.0 for _, s in rows]),
            f"{prefix}right": np.array([s.right for _, s in rows]),
        }
        if not prefix:
            arrays["points"] = np.array([s.points for _, s in rows])
    with zipfile.ZipFile(out / "pictures.part", "w") as pack:
        for name, jpeg in found.jpegs.items():
            pack.writestr(name, jpeg)
    (out / "pictures.part").rename(out / "pictures.zip")
    np.savez(out / f"{region}.npz", **arrays)
    print(len(arrays["points"]), region, len(arrays["other_name"]), "others", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("region", choices=REGIONS)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--packs", type=Path, nargs="+", default=[], metavar="PACK")
    parser.add_argument("--people", type=Path, nargs="+", default=[], metavar="PICTURES")
    parser.add_argument("--body", type=Path, help="network that finds people in --people")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    without = measured()
    files = [f for p in arguments.people for f in sorted(p.glob("*.jpg")) if f.name not in without]
    found = Found()
    region, teacher = arguments.region, arguments.teacher
    packs = [(region, teacher, pack, k, 4) for pack in arguments.packs for k in range(4)]
    pieces = [
        (region, teacher, arguments.body, files[at : at + PIECE])
        for at in range(0, len(files), PIECE)
    ]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for work, jobs in ((of_pack, packs), (of_files, pieces)):
            for part in pool.imap(work, jobs):  # type: ignore[arg-type]
                part.seen = [(n, s) for n, s in part.seen if n not in without]
                found.seen += part.seen
                found.jpegs |= {n: part.jpegs[n] for n, _ in part.seen}
                print(len(found.seen), flush=True)
    write(found, region, arguments.out)


if __name__ == "__main__":
    main()
