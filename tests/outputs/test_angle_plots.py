"""Plots of angles: which, of whom, and what the lines show."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from openpose_ext.errors import OutputError
from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.outputs.angle_plots import AnglePlotsWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.topology import BODY_25
from random_people import people

PICTURE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """The figures that are saved."""
    figures: list[matplotlib.figure.Figure] = []
    save = matplotlib.figure.Figure.savefig

    def savefig(self: matplotlib.figure.Figure, *args: object, **options: object) -> None:
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return figures


@pytest.mark.parametrize("rate", [50, None], ids=["a video", "pictures"])
def test_lines_are_the_angles_over_time(
    tmp_path: Path, drawn: list[matplotlib.figure.Figure], rate: float | None
) -> None:
    shown = [people(count, BODY_25, ids=True)[:1] for count in (5, 6, 7)]
    with AnglePlotsWriter(tmp_path / "a_angle_plots.json") as sink:
        for number, poses in enumerate(shown):
            frame = Frame(PICTURE, "a", number, rate and number / rate)
            sink.write(frame, poses)
    (one,) = json.loads((tmp_path / "a_angle_plots.json").read_text())["people"]
    assert one["file"] == "a_angles_person7.png"
    with Image.open(tmp_path / one["file"]) as picture:
        assert picture.size == (1000, 900)
    (figure,) = drawn
    assert [plot.get_title() for plot in figure.axes] == [
        "Knee", "Hip", "Ankle", "Elbow", "Shoulder", "Trunk",
    ]  # fmt: skip
    expected = np.stack([angles(poses.keypoints, BODY_25.parts)[0] for poses in shown])
    lines = {
        f"{line.get_label()}_{plot.get_title().lower()}".strip("_"): line
        for plot in figure.axes
        for line in plot.lines
    }
    assert len(lines) == len(ANGLES)
    for name, line in lines.items():
        name = "trunk" if name.endswith("trunk") else name
        np.testing.assert_allclose(line.get_xdata(), np.arange(3) / (rate or 1))
        np.testing.assert_allclose(line.get_ydata(), expected[:, ANGLES.index(name)], rtol=1e-5)


def test_somebody_without_angles_has_no_picture(tmp_path: Path) -> None:
    nothing = people(1, ids=True)
    nothing.keypoints.flags.writeable = True
    nothing.keypoints[:, 2:] = 0
    with AnglePlotsWriter(tmp_path / "a_angle_plots.json") as sink:
        sink.write(Frame(PICTURE, "a.mp4", 0, 0.0), nothing)
    assert [p.name for p in tmp_path.iterdir()] == ["a_angle_plots.json"]
    (one,) = json.loads((tmp_path / "a_angle_plots.json").read_text())["people"]
    assert one["file"] is None


def test_without_matplotlib_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OutputError, match=r'pip install "openpose_ext\[plots\]"'):
        AnglePlotsWriter(tmp_path / "a_angle_plots.json")
