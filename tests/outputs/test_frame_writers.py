"""Many frames in one file: whole or not there, whatever the format. And JSON lines, COCO."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import resource
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from openpose_ext.errors import OutputError
from openpose_ext.outputs.angle_plots import AnglePlotsWriter
from openpose_ext.outputs.angles import AnglesWriter
from openpose_ext.outputs.coco_dataset import CocoDatasetWriter
from openpose_ext.outputs.coco_json import CocoWriter
from openpose_ext.outputs.controlnet_json import ControlNetWriter
from openpose_ext.outputs.csv import CsvWriter
from openpose_ext.outputs.deeplabcut import DeepLabCutWriter
from openpose_ext.outputs.json_lines import JsonLinesWriter
from openpose_ext.outputs.parquet import ParquetWriter
from openpose_ext.outputs.pose_format import PoseFormatWriter
from openpose_ext.outputs.trc import TrcWriter
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.outputs.wide_csv import WideCsvWriter
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, frames, people

WRITERS: dict[str, Callable[[Path], FrameWriter]] = {
    "a.jsonl": JsonLinesWriter,
    "a.csv": CsvWriter,
    "a.parquet": ParquetWriter,
    "a.json": CocoWriter,
    "dataset.json": CocoDatasetWriter,
    "angles.csv": AnglesWriter,
    "controlnet.json": ControlNetWriter,
    "a_wide.json": WideCsvWriter,
    "a_trc.json": TrcWriter,
    "a_angle_plots.json": AnglePlotsWriter,
    "a_dlc.csv": DeepLabCutWriter,
    "a.mp4": VideoWriter,
}
if importlib.util.find_spec("pose_format") is not None:
    WRITERS["a.pose"] = PoseFormatWriter
every_format = pytest.mark.parametrize("name", WRITERS)
SMALL = np.zeros((48, 64, 3), np.uint8)


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may pass `size` bytes, as on a disk that has no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@every_format
def test_a_file_appears_when_it_is_closed_and_replaces_the_old_one(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "new" / "folder" / name
    for old in (None, b"old"):
        if old is not None:
            file.write_bytes(old)
        writer = WRITERS[name](file)
        assert writer.path == file
        for frame, poses in frames(3, ids=True):
            writer.write(frame, poses)
            assert (file.read_bytes() if old else file.exists()) == (old or False)
        writer.close()
        assert len(file.read_bytes()) > 3
        assert [f for f in os.listdir(file.parent) if f.startswith(".")] == []
        first = file.read_bytes()
        writer.close()
        writer.discard()
        assert file.read_bytes() == first, "closing twice and discarding late do nothing"


@every_format
@pytest.mark.parametrize("written", [0, 3])
def test_what_is_discarded_leaves_nothing(tmp_path: Path, name: str, written: int) -> None:
    (tmp_path / name).write_bytes(b"old")
    writer = WRITERS[name](tmp_path / name)
    with pytest.raises(KeyboardInterrupt):
        fill(writer, frames(written, ids=True), KeyboardInterrupt())
    writer.close()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


@every_format
def test_a_full_disk_is_named_with_the_file(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    crowd = people(50, hands=True, ids=True)
    many = [(Frame(noise, "a.mp4", index, index / 25), crowd) for index in range(60)]
    reason = f"{name} cannot be written: .*File too large"
    with full_disk(100_000), pytest.raises(OutputError, match=reason):
        fill(WRITERS[name](tmp_path / name), many)
    assert os.listdir(tmp_path) == []


@every_format
def test_what_is_in_the_way_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out cannot be made: a file of that name"):
        WRITERS[name](tmp_path / "out" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=f"{name} cannot be written: Is a directory"):
        fill(WRITERS[name](tmp_path / name), frames(2, ids=True))
    assert [file for file in os.listdir(tmp_path) if file.endswith(".part")] == []


def fill(
    writer: FrameWriter,
    written: Iterable[tuple[Frame, Poses]],
    error: BaseException | None = None,
) -> None:
    """Write frames in a block that is left by `error`."""
    with writer:
        for frame, poses in written:
            writer.write(frame, poses)
        if error is not None:
            raise error


# JSON lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_json_lines_are_a_frame_each(tmp_path: Path, topology: Topology) -> None:
    written = list(frames(5, topology, hands=True, ids=True))
    with JsonLinesWriter(tmp_path / "a.jsonl") as writer:
        for frame, poses in written:
            writer.write(frame, poses)
    lines = (tmp_path / "a.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    for line, (frame, poses) in zip(lines, written, strict=True):
        assert json.loads(line) == {
            "source": "a video.mp4",
            "frame": frame.index,
            "time": frame.index / 25,
            "size": [640, 480],
            "topology": topology.name,
            "people": poses.to_openpose()["people"],
        }


# COCO ----------------------------------------------------------------------------------------


def coco_ids(tmp_path: Path, written: list[Frame]) -> list[int]:
    """The ids that frames with a person each got, by both files."""
    with CocoWriter(tmp_path / "r.json") as writer:
        for frame in written:
            writer.write(frame, people(1))
    images = json.loads((tmp_path / "r_images.json").read_text())["images"]
    results = json.loads((tmp_path / "r.json").read_text())
    assert [image["file_name"] for image in images] == [frame.source for frame in written]
    assert [image["id"] for image in images] == [result["image_id"] for result in results]
    return [image["id"] for image in images]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["val2014/COCO_val2014_000000000328.jpg", "000000000139.jpg"], [328, 139]),
        (["day1/img_2_007.v3.png", "2/a.png"], [3, 4]),
        (["a.jpg", "b.jpg", "c2.jpg", "d.jpg"], [1, 2, 3, 4]),
        (["x/7.jpg", "y/7.jpg", "8.jpg"], [7, 8, 9]),
        (["9" * 30 + ".jpg", "0.jpg", "\N{SUPERSCRIPT TWO}.jpg"], [1, 0, 2]),
    ],
    ids=[
        "as COCO names them",
        "the last number",
        "no number",
        "twice",
        "too large, zero",
    ],
)
def test_pictures_have_the_number_in_their_name_as_id(
    tmp_path: Path, names: list[str], ids: list[int]
) -> None:
    assert coco_ids(tmp_path, [Frame(SMALL, name) for name in names]) == ids


def test_frames_of_videos_have_their_number_and_no_two_the_same(tmp_path: Path) -> None:
    written = [Frame(SMALL, name, k, k / 5) for name in ("a1.mp4", "b1.mp4") for k in (0, 5, 10)]
    assert coco_ids(tmp_path, written) == [0, 5, 10, 11, 12, 13]
    images = json.loads((tmp_path / "r_images.json").read_text())["images"]
    assert images[4] == {
        "id": 12, "file_name": "b1.mp4", "width": 64, "height": 48, "frame": 5, "time": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("hands", [False, True])
def test_pycocotools_reads_and_scores_the_results(tmp_path: Path, hands: bool) -> None:
    """What was written as people is the truth here, so the results are perfect."""
    written = list(frames(8, BODY_25, rate=None, hands=hands))
    with CocoWriter(tmp_path / "r.json") as writer:
        for frame, poses in written:
            writer.write(frame, poses)
    results = json.loads((tmp_path / "r.json").read_text())
    assert len(results) == sum(len(poses) for _, poses in written)
    truth = json.loads((tmp_path / "r_images.json").read_text()) | {
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                **result,
                "id": k + 1,
                "iscrowd": 0,
                "area": 640 * 480,
                "bbox": [0, 0, 640, 480],
                "num_keypoints": sum(result["keypoints"][2::3]),
            }
            for k, result in enumerate(results)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "truth.json")
        scored = COCOeval(coco, coco.loadRes(os.fspath(tmp_path / "r.json")), "keypoints")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)
    assert scored.stats[5] == pytest.approx(1.0)


def test_coco_results_of_nobody_are_an_empty_list(tmp_path: Path) -> None:
    with CocoWriter(tmp_path / "r.json") as writer:
        pass
    assert json.loads((tmp_path / "r.json").read_text()) == []
    assert json.loads((tmp_path / "r_images.json").read_text()) == {"images": []}
    with CocoWriter(tmp_path / "r.json") as writer:
        writer.write(Frame(SMALL, "a.jpg"), Poses.empty((64, 48)))
    assert json.loads((tmp_path / "r.json").read_text()) == []
    assert len(json.loads((tmp_path / "r_images.json").read_text())["images"]) == 1
