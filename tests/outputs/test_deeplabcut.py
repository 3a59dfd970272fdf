"""DeepLabCut's CSV, read by pandas as DeepLabCut reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from openpose_ext.outputs.deeplabcut import DeepLabCutWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import frames, people

PICTURE = np.zeros((4, 4, 3), np.uint8)


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, header=[0, 1, 2, 3], index_col=0)


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_every_person_has_columns_and_every_frame_a_row(tmp_path: Path, topology: Topology) -> None:
    many = list(frames(9, topology, hands=True, faces=True, ids=True))  # nobody in 0, 4 and 8
    with DeepLabCutWriter(tmp_path / "a_dlc.csv") as sink:
        for frame, poses in many:
            sink.write(frame, poses)
    table = read(tmp_path / "a_dlc.csv")
    assert table.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    assert [*table.index] == [*range(9)]
    assert {*table.columns.get_level_values(0)} == {"openpose_ext"}
    table = table["openpose_ext"]
    assert [*dict.fromkeys(table.columns.get_level_values(0))] == ["person7", "person8", "person9"]
    assert table.shape[1] == 3 * 3 * (len(topology.parts) + 2 * 21 + 70)
    for frame, poses in many:
        assert poses.ids is not None
        for name in ("person7", "person8", "person9"):
            found = table.loc[frame.index][name]
            at = np.flatnonzero(poses.ids == int(name.removeprefix("person")))
            for k, part in enumerate(topology.parts):
                x, y, score = poses.keypoints[at[0], k] if len(at) else (0, 0, 0)
                expected = (x, y, score) if score else (np.nan, np.nan, 0)
                np.testing.assert_allclose(found[part], expected, rtol=1e-6)
            if len(at):
                assert poses.hands is not None
                wrist = poses.hands[at[0], 1, 0]
                expected = wrist if wrist[2] else (np.nan, np.nan, 0)
                np.testing.assert_allclose(found["right_hand_Wrist"], expected, rtol=1e-6)


def test_pictures_are_called_by_their_paths(tmp_path: Path) -> None:
    with DeepLabCutWriter(tmp_path / "a_dlc.csv") as sink:
        for name in ("b, 1.jpg", "a.jpg"):
            sink.write(Frame(PICTURE, name), people(1, ids=True))
    assert [*read(tmp_path / "a_dlc.csv").index] == ["b, 1.jpg", "a.jpg"]
    assert DeepLabCutWriter.sources_in(tmp_path / "a_dlc.csv") >= {"a.jpg", "b, 1.jpg"}


def test_individuals_need_ids(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="need people with ids"),
        DeepLabCutWriter(tmp_path / "a_dlc.csv") as sink,
    ):
        sink.write(Frame(PICTURE, "a.mp4", 0, 0.0), people(2))
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_a_table_of_frames(tmp_path: Path) -> None:
    with DeepLabCutWriter(tmp_path / "a_dlc.csv") as sink:
        for number in range(3):
            sink.write(Frame(PICTURE, "a.mp4", number, number / 25), people(0, ids=True))
    assert (tmp_path / "a_dlc.csv").read_text().splitlines()[3:] == ["coords", "0", "1", "2"]
