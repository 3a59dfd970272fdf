"""COCO data sets as pycocotools reads them, against the people written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openpose_ext.formats.coco import COCO_PARTS
from openpose_ext.outputs.coco_dataset import CocoDatasetWriter
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, frames

COCO = pytest.importorskip("pycocotools.coco").COCO


@pytest.mark.clients
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
@pytest.mark.parametrize("rate", [25.0, None], ids=["video", "pictures"])
def test_its_reader_finds_every_person_and_part(
    tmp_path: Path, topology: Topology, rate: float | None
) -> None:
    file = tmp_path / "a.json"
    given = list(frames(8, topology, rate=rate, hands=True, faces=True))
    with CocoDatasetWriter(file) as sink:
        for frame, poses in given:
            sink.write(frame, poses)
    data = COCO(str(file))
    images = data.loadImgs(data.getImgIds())
    assert len(images) == len(given)
    for (frame, poses), image in zip(given, images, strict=True):
        expected = f"a video_{frame.index:012d}.png" if rate else Path(frame.source).name
        assert (image["file_name"], image["width"], image["height"]) == (expected, *SIZE)
        found = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        assert len(found) == len(poses)
        for person, annotation in enumerate(found):
            chosen = [topology.parts.index(name) for name in COCO_PARTS]
            points = poses.keypoints[person, chosen]
            flags = np.where(poses.filled[person, chosen], 1, 2) * (points[:, 2] > 0)
            written = np.reshape(annotation["keypoints"], (17, 3))
            np.testing.assert_array_equal(written[:, 2], flags)
            seen = flags > 0
            np.testing.assert_allclose(written[seen, :2], points[seen, :2], atol=0.006)
            x, y, width, height = annotation["bbox"]
            assert (written[seen, :2] >= np.array([x, y]) - 0.02).all()
            assert (written[seen, :2] <= np.array([x + width, y + height]) + 0.02).all()
            assert annotation["num_keypoints"] == seen.sum()
    (category,) = data.loadCats(data.getCatIds(catNms=["person"]))
    assert category["keypoints"][9] == "left_wrist"
    limbs = [{category["keypoints"][end - 1] for end in pair} for pair in category["skeleton"]]
    assert {"left_elbow", "left_wrist"} in limbs


def test_nobody_is_a_data_set_without_annotations(tmp_path: Path) -> None:
    with CocoDatasetWriter(tmp_path / "a.json") as sink:
        sink.write(*next(frames(1)))
    assert COCO(str(tmp_path / "a.json")).getAnnIds() == []
    assert CocoDatasetWriter.sources_in(tmp_path / "a.json") == {"a video.mp4"}


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["/data/in/a.png", "/data/in/b/a.png"], ["a.png", "b/a.png"]),
        (["in/a.png", "../other/b.png"], None),
        (["a.png"], ["a.png"]),
        (["host.example/x/a.png", "host.example/y/a.png"], ["x/a.png", "y/a.png"]),
    ],
    ids=["one folder", "two folders", "here", "from the web"],
)
def test_pictures_are_named_within_their_folder(
    tmp_path: Path, sources: list[str], names: list[str] | None
) -> None:
    """As CVAT asks for: paths that leave the folder of the pictures are refused there."""
    given = list(frames(len(sources), rate=None))
    with CocoDatasetWriter(tmp_path / "a.json") as sink:
        for (frame, poses), source in zip(given, sources, strict=True):
            sink.write(replace(frame, source=source), poses)
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    found = [image["file_name"] for image in images]
    assert names is None or found == names
    assert not any(name.startswith(("/", "..")) for name in found)
    assert len({*found}) == len(sources)
    assert [image["source"] for image in images] == sources
    assert CocoDatasetWriter.sources_in(tmp_path / "a.json") == {*sources}
