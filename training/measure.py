"""What the issue of the embedded networks asks for, measured with the package itself.

    python training/measure.py body FILE.onnx... --shared ../shared [--teacher TEACHER.onnx]
    python training/measure.py hand FILE.onnx... --shared ../shared
    python training/measure.py face FILE.onnx... --shared ../shared
    python training/measure.py foot FILE.onnx... --shared ../shared

Body: COCO AP on coco_val and on the pictures of train2 that are held out, people found where nobody
is (the places of nobody.tsv, which were never trained on), people on two portraits, and the time of
the network on one thread as a share of the teacher's, taken in turns. Hand: PCK of hand_val at
three sizes of the square. Face: errors of face_val, in distances of the outer eye corners, in
squares around the labelled boxes. Foot: heels and big toes of feet_val within 0.05 of the height of
the person's box, where the labelled body tells where to look.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from known import from_coco, held_out

from openpose_ext import PoseEstimator, Poses
from openpose_ext.models.network import BodyNetwork
from openpose_ext.run.coco_eval import Annotations, Evaluation, Scores, coco_results
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.feet import FootFinder
from openpose_ext.types.arrays import Picture
from openpose_ext.types.topology import COCO_18

HEIGHT = 368
SMALL = 184  # of portraits, in which parts of a face may pass for people
SQUARES = (1.25, 1.75, 2.5)  # sides of the square around a hand, in longer sides of its box
FACE_SQUARES = (1.5, 1.8)  # likewise of a face
OUTER_EYES = 36, 45
JAW = 17  # points of it, the first ones
# Parts of BODY_25, and places among the labels of feet_val.
FEET = {"heels": ((21, 2), (24, 5)), "toes": ((19, 0), (22, 3))}
FOOT_NEAR = 0.05
TIMED = (368, 488)
RUNS = 21

Annotated = tuple[Annotations, Mapping[int, Picture]]


def nobody(shared: Path) -> Iterator[Picture]:
    """Places in pictures where nobody is."""
    with open(Path(__file__).with_name("nobody.tsv"), newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            picture = read_picture(shared / "data" / "train" / "people" / row["file"])
            yield np.ascontiguousarray(picture[y : y + height, x : x + width])


def portraits() -> Iterator[tuple[str, Picture]]:
    """Pictures of one person each that come with packages."""
    import matplotlib
    import skimage.data

    yield "astronaut", np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    folder = Path(matplotlib.get_data_path()) / "sample_data"
    yield "grace_hopper", read_picture(folder / "grace_hopper.jpg")


def annotated(images: Path, file: Path, kept: Callable[[str], bool]) -> Annotated:
    """The annotations of some pictures, and these."""
    annotations = Annotations.read(file)
    wanted = [p for p in annotations.pictures if kept(p["file_name"])]
    pictures = {p["id"]: read_picture(images / p["file_name"]) for p in wanted}
    return annotations.only(pictures), pictures


def precision_of(estimator: PoseEstimator, annotated: Annotated) -> Scores:
    annotations, pictures = annotated
    results = [
        result
        for image_id, picture in pictures.items()
        for result in coco_results(estimator(picture), image_id, annotations.category)
    ]
    return Evaluation(results, annotations).scores()


def body(files: Sequence[Path], shared: Path, precision: str) -> None:
    coco, more = shared / "data" / "coco_val", shared / "data" / "train2"
    validation = annotated(coco / "images", coco / "person_keypoints.json", lambda name: True)
    others = annotated(
        more / "people",
        more / "people_labels.json",
        lambda name: name.startswith("coco_") and held_out(name),
    )
    empty = list(nobody(shared))
    for file in files:
        with PoseEstimator(file, height=HEIGHT, precision=precision) as estimator:
            scores, other = (precision_of(estimator, each) for each in (validation, others))
            invented = sum(len(estimator(picture)) for picture in empty)
            people = {name: len(estimator(picture)) for name, picture in portraits()}
        with PoseEstimator(file, height=SMALL, precision=precision) as estimator:
            small = {name: len(estimator(picture)) for name, picture in portraits()}
        print(
            f"{file}: AP {scores.ap:.3f} AP50 {scores.ap50:.3f} AR {scores.ar:.3f}, "
            f"of {len(others[1])} other pictures AP {other.ap:.3f}, "
            f"{invented} people in {len(empty)} empty pictures, {people}, "
            f"{small} at height {SMALL}",
            flush=True,
        )


def speed(files: Sequence[Path], teacher: Path) -> None:
    """Median and least times of each network, as shares of the teacher's."""
    networks = [BodyNetwork.open(file, threads=1) for file in (teacher, *files)]
    batch = np.random.default_rng(0).integers(0, 256, (1, *TIMED, 3), np.uint8)
    times: list[list[float]] = [[] for _ in networks]
    for _ in range(RUNS):
        for network, taken in zip(networks, times, strict=True):
            begun = time.perf_counter()
            network.run(batch)
            taken.append(time.perf_counter() - begun)
    for file, taken in zip(files, times[1:], strict=True):
        shares = [f(taken) / f(times[0]) for f in (statistics.median, min)]
        print(f"{file}: {shares[0]:.2f} of the teacher's time, {shares[1]:.2f} by the least")
    for network in networks:
        network.close()


def hand(files: Sequence[Path], shared: Path, precision: str) -> None:
    folder = shared / "data" / "hand_val"
    hands = json.loads((folder / "hands.json").read_text())
    for file in files:
        with PoseEstimator(None, hand=file, precision=precision) as estimator:
            for enlarged in SQUARES:
                errors = []
                for entry in hands:
                    x, y, width, height = entry["box"]
                    longer = max(width, height)
                    side = enlarged * longer
                    square = [x + (width - side) / 2, y + (height - side) / 2, side, side]
                    picture = read_picture(folder / entry["image"])
                    (found,) = estimator.hands(picture, [square], [entry["side"]])
                    truth = np.array(entry["keypoints"])
                    apart = np.hypot(*(found[:, :2] - truth[:, :2]).T) / longer
                    apart[found[:, 2] == 0] = np.inf
                    errors.append(apart[truth[:, 2] > 0])
                together = np.concatenate(errors)
                print(
                    f"{file} x {enlarged}: PCK@0.2 {np.mean(together < 0.2):.3f} "
                    f"PCK@0.1 {np.mean(together < 0.1):.3f} median {np.median(together):.3f}",
                    flush=True,
                )


def face(files: Sequence[Path], shared: Path, precision: str) -> None:
    folder = shared / "data" / "face_val"
    faces = json.loads((folder / "faces.json").read_text())
    for file in files:
        with PoseEstimator(None, face=file, precision=precision) as estimator:
            for enlarged in FACE_SQUARES:
                errors: dict[str, list[float]] = defaultdict(list)
                for entry in faces:
                    x, y, width, height = entry["box"]
                    side = enlarged * max(width, height)
                    square = [x + (width - side) / 2, y + (height - side) / 2, side, side]
                    (found,) = estimator.faces(read_picture(folder / entry["image"]), [square])
                    truth = np.array(entry["keypoints"])[:, :2]
                    seen = found[:68, 2].all()
                    errors["found"].append(float(seen))
                    if not seen:
                        continue
                    apart = np.hypot(*(found[:68, :2] - truth).T)
                    apart /= np.hypot(*(truth[OUTER_EYES[1]] - truth[OUTER_EYES[0]]))
                    groups = {
                        "all": apart, "jaw": apart[:JAW], "inner": apart[JAW:],
                        entry["source"].split(" (")[0].split(",")[0]: apart,
                    }  # fmt: skip
                    for name, group in groups.items():
                        errors[name].append(float(group.mean()))
                told = ", ".join(f"{name} {np.mean(group):.4f}" for name, group in errors.items())
                print(f"{file} x {enlarged}: {told}", flush=True)


def foot(files: Sequence[Path], shared: Path, precision: str) -> None:
    folder = shared / "data" / "feet_val"
    people = [entry for entry in json.loads((folder / "feet.json").read_text()) if entry["body"]]
    for file in files:
        errors: dict[str, list[float]] = defaultdict(list)
        with FootFinder.open(file, precision=precision) as finder:
            for entry in people:
                picture = read_picture(folder / entry["image"])
                body = from_coco(np.ravel(entry["body"]).tolist())[None]
                whole = Poses(
                    body,
                    np.ones(1, np.float32),
                    np.zeros(body.shape[:2], bool),
                    COCO_18,
                    (picture.shape[1], picture.shape[0]),
                )
                found = finder.of_people(picture, whole).keypoints[0]
                for name, labelled in FEET.items():
                    for part, k in labelled:
                        if entry["feet"][k][2] > 0:
                            x, y, score = found[part]
                            truth = entry["feet"][k]
                            apart = float(np.hypot(x - truth[0], y - truth[1])) / entry["box"][3]
                            errors[name].append(apart if score > 0 else np.inf)
        together = np.concatenate([*errors.values()])
        told = ", ".join(
            f"{name} {sum(np.array(apart) < FOOT_NEAR)} of {len(apart)}"
            for name, apart in errors.items()
        )
        print(
            f"{file}: {np.mean(together < FOOT_NEAR):.3f} within, {told}; "
            f"median {np.median(together):.3f}, missing {np.isinf(together).sum()}",
            flush=True,
        )


MEASURES = {"body": body, "hand": hand, "face": face, "foot": foot}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=MEASURES)
    parser.add_argument("files", nargs="+", help="networks, or their names")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--teacher", type=Path, help="body: compare the speed with its")
    parser.add_argument("--precision", default="f32")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    MEASURES[arguments.kind](arguments.files, arguments.shared, arguments.precision)
    if arguments.teacher and arguments.kind == "body":
        speed(arguments.files, arguments.teacher)


if __name__ == "__main__":
    main()
