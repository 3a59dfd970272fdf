"""Animated pictures: the frames that Pillow shows, at its times."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from openpose_ext.errors import SourceError
from openpose_ext.sources import open_source
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.source import View

Image = pytest.importorskip("PIL.Image")

DURATIONS = [100, 50, 100, 100, 70, 100]
KINDS = [("a.gif", {}), ("a.gif", {"disposal": 2}), ("a.png", {}), ("a.webp", {"lossless": True})]


def animated(path: Path, *, frames: int = 6, clear: bool = False, **options: object) -> Path:
    pictures = []
    for k in range(frames):
        picture = np.full((40, 60, 4), (30 * k, 200 - 20 * k, 100, 255), np.uint8)
        picture[10:20, 5 + 7 * k : 15 + 7 * k, :3] = 255, 0, 0
        if clear:
            picture[25:, :, 3] = 0
        pictures.append(Image.fromarray(picture, "RGBA"))
    durations = DURATIONS[:frames]
    more = {"append_images": pictures[1:], "duration": durations}
    pictures[0].save(path, save_all=True, loop=0, **more, **options)
    return path


def shown(path: Path) -> list[np.ndarray]:
    """The frames by Pillow, on white, BGR."""
    with Image.open(path) as image:
        frames = []
        for k in range(image.n_frames):
            image.seek(k)
            page = Image.new("RGBA", image.size, "white")
            page = Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")
            frames.append(np.asarray(page)[:, :, ::-1])
        return frames


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("name", "options"), KINDS)
def test_frames_and_times_are_those_that_are_shown(
    tmp_path: Path, name: str, options: dict[str, object], clear: bool
) -> None:
    path = animated(tmp_path / name, clear=clear, **options)
    with open_source(path) as source:
        assert source.size == (60, 40)
        frames = [*source]
    assert [frame.index for frame in frames] == [*range(6)]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.15, 0.25, 0.35, 0.42])
    for frame, expected in zip(frames, shown(path), strict=True):
        np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_a_file_with_one_frame_stays_a_picture(tmp_path: Path, name: str) -> None:
    animated(tmp_path / f"one_{name}", frames=1)
    Image.new("RGB", (20, 20)).save(tmp_path / f"plain_{name}")
    animated(tmp_path / f"two_{name}", frames=2)
    kinds = [file.kind for file in find_inputs([tmp_path]).files]
    assert kinds == ["picture", "picture", "animation"]
    assert {file.kind for file in find_inputs([tmp_path], videos=False).files} == {"picture"}


def test_any_name_that_does_not_tell_is_looked_into(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.gif").rename(tmp_path / "upload")
    assert find_inputs([path]).files[0].kind == "animation"


def test_an_animated_picture_among_others_gives_its_frames(tmp_path: Path) -> None:
    animated(tmp_path / "a.webp")
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    with open_source(tmp_path) as source:
        assert [Path(frame.source).name for frame in source] == ["a.webp"] * 6 + ["b.png"]


def test_a_view_takes_frames_and_turns_them(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.gif")
    with open_source(path, view=View(first=1, last=4, step=2, rotate=90)) as source:
        frames = [*source]
    assert source.size == (40, 60)
    assert [frame.index for frame in frames] == [1, 3]
    np.testing.assert_array_equal(frames[1].image, np.rot90(shown(path)[3]))


def test_more_frames_than_are_decoded_at_a_time_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpose_ext.sources.animation._PIXELS", 1)
    monkeypatch.setattr("openpose_ext.sources.animation._FEWEST", 4)
    path = animated(tmp_path / "a.webp", lossless=True)
    with open_source(path) as source:
        for frame, expected in zip(source, shown(path), strict=True):
            np.testing.assert_array_equal(frame.image, expected)


def test_damaged_ones_say_what_they_are(tmp_path: Path) -> None:
    whole = animated(tmp_path / "a.webp").read_bytes()
    with pytest.raises(SourceError, match=r"b\.webp: truncated or damaged WebP"):
        Animation("b.webp", data=whole[:-20])
    whole = animated(tmp_path / "a.png").read_bytes()
    with Animation("b.png", data=whole[: len(whole) // 2]) as source:
        assert 0 < len([*source]) < 6
    assert [str(error) for error in source.errors] == ["b.png: it ends early, after 2 frames"]


def test_the_first_frame_asked_for_is_beyond_the_last(tmp_path: Path) -> None:
    data = io.BytesIO(animated(tmp_path / "a.gif").read_bytes()).getvalue()
    with Animation("a.gif", data=data, view=View(first=9)) as source:
        assert [*source] == []
    assert "asked for is 9, and the last of the file is 5" in str(source.errors[0])
