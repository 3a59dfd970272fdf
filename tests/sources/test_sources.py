"""Inputs: what they name, and the frames they give, one after the other."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import videos
from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.io.resize import at_size, resized
from openpose_ext.io.whole import make_folder
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.sources import open_source
from openpose_ext.sources.files import Files
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.openpose_files import OpenPoseFiles
from openpose_ext.sources.source import View
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of (empty) files as people have them; also the working directory."""
    for name in (
        "album/b.JPG",
        "album/a.png",
        "album/notes.md",
        "album/.hidden.jpg",
        "album/._a.png",
        "album/.thumbs/a.png",
        "album/day 2/c.webp",
        "album/day 1/d.jpeg",
        "album/day 1/e.MP4",
        "album/list.txt",
        "other/a.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*inputs: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [p.path.as_posix() for p in find_inputs(inputs, exclude=exclude).files]


def test_a_folder_gives_all_pictures_and_videos_below_it_sorted(tree: Path) -> None:
    expected = [
        "album/a.png",
        "album/b.JPG",
        "album/day 1/d.jpeg",
        "album/day 1/e.MP4",
        "album/day 2/c.webp",
    ]
    assert names("album") == expected
    assert names(".") == [*expected, "other/a.png"]
    kinds = [file.kind for file in find_inputs(["album"]).files]
    assert kinds == ["picture", "picture", "picture", "video", "picture"]
    without = find_inputs(["album"], videos=False).files
    assert [file.path.as_posix() for file in without] == [*expected[:3], expected[4]]
    flat = find_inputs(["album"], recursive=False).files
    assert [file.path.as_posix() for file in flat] == expected[:2]
    found = find_inputs(["album"]).files
    assert found[2].relative == Path("day 1/d.jpeg")


def test_a_file_named_itself_is_taken_whatever_its_name(tree: Path) -> None:
    assert names("album/notes.md", "album/.hidden.jpg") == ["album/notes.md", "album/.hidden.jpg"]
    assert find_inputs(["album/notes.md"]).files[0].relative == Path("notes.md")


def test_patterns_match_pictures_and_folders(tree: Path) -> None:
    assert names("album/*.png") == ["album/a.png"]
    assert names("*/a.*") == ["album/a.png", "other/a.png"]
    assert names("album/*") == names("album/**") == names("album")
    found = find_inputs(["*/a.*"]).files
    assert [p.relative.as_posix() for p in found] == ["album/a.png", "other/a.png"]


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tree: Path) -> None:
    Path("a[1].png").touch()
    assert names("a[1].png") == ["a[1].png"]


def test_a_list_gives_its_lines_relative_to_itself(tree: Path) -> None:
    lines = ["a.png", "", "day 1/d.jpeg ", "../other/a.png", str(tree / "album/b.JPG"), "gone.png"]
    Path("album/list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = find_inputs(["album/list.txt"]).files
    assert [p.relative.as_posix() for p in found] == [
        "a.png",
        "day 1/d.jpeg",
        "a.png",
        "b.JPG",
        "gone.png",
    ]
    assert found[2].root == Path("album/../other")


def test_each_picture_comes_once(tree: Path) -> None:
    assert names("album/a.png", "album", "./album/b.JPG", "*/*.png") == [
        "album/a.png",
        "album/b.JPG",
        "album/day 1/d.jpeg",
        "album/day 1/e.MP4",
        "album/day 2/c.webp",
        "other/a.png",
    ]


@pytest.mark.parametrize(
    "given", ["gone.jpg", "gone/*.jpg", "album/*.gif", "empty", "album/list.txt"]
)
def test_an_input_that_matches_nothing_is_named(tree: Path, given: str) -> None:
    Path("empty").mkdir()
    reason = "holds no pictures or videos" if given == "empty" else "nothing matches"
    with pytest.raises(ValueError, match=reason) as caught:
        find_inputs(["album", given])
    assert given in str(caught.value)


def test_outputs_inside_a_searched_folder_are_skipped_and_counted(tree: Path) -> None:
    for name in ("album/out/a_rendered.png", "album/out/deep/x.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for pattern in ("album", "album/**"):
        found = find_inputs([pattern], exclude=["album/out"])
        assert [p.path.name for p in found.files] == ["a.png", "b.JPG", "d.jpeg", "e.MP4", "c.webp"]
        assert found.skipped == 2
    with pytest.raises(ValueError, match="2 files skipped as outputs"):
        find_inputs(["album/o*"], exclude=["other/../album/out"])
    assert names("album/out/deep/x.png", exclude=("album/out",)) == ["album/out/deep/x.png"]


def test_where_results_lie_beside_the_pictures_only_rendered_ones_are_skipped(tree: Path) -> None:
    Path("album/a_rendered.png").touch()
    Path("album/day 1/e_rendered.mp4").touch()
    for folder in ("album", "."):
        found = find_inputs(["album"], exclude=[folder])
        assert len(found.files) == 5
        assert found.skipped == 2


def test_links_to_folders_that_lead_back_do_not_loop(tree: Path) -> None:
    Path("album/back").symlink_to(tree / "album", target_is_directory=True)
    assert len(names("album")) == 5


def test_a_file_without_a_known_suffix_tells_by_its_content(tmp_path: Path) -> None:
    video(tmp_path / "clip.mkv", 3).rename(tmp_path / "clip")
    picture(tmp_path / "photo.png").rename(tmp_path / "photo")
    (tmp_path / "notes.md").write_text("neither")
    files = find_inputs([tmp_path / name for name in ("clip", "photo", "notes.md")]).files
    assert [file.kind for file in files] == ["video", "picture", "picture"]
    assert find_inputs([tmp_path / "clip"], videos=False).files[0].kind == "picture"


def picture(path: Path, value: int = 0, size: tuple[int, int] = (32, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(os.fspath(path), np.full((size[1], size[0], 3), value, np.uint8))
    return path


def video(path: Path, frames: int, size: tuple[int, int] = (32, 16)) -> Path:
    """Frames that are as bright as ten times their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(os.fspath(path), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for number in range(frames):
            shown = np.full((size[1], size[0], 3), 10 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "bgr24")))
        file.mux(stream.encode())
    return path


def brightness(frame: Frame) -> int:
    return round(float(frame.image.mean()))


def test_a_picture_is_a_source_of_one_frame(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png", 7)
    with open_source(file) as source:
        assert (source.name, source.count, source.rate) == (os.fspath(file), 1, None)
        assert not source.live
        (frame,) = source
    assert (frame.source, frame.index, frame.time, frame.size) == (
        os.fspath(file),
        0,
        None,
        (32, 16),
    )
    assert brightness(frame) == 7
    assert source.errors == []


def test_a_video_is_a_source_with_a_rate(tmp_path: Path) -> None:
    with open_source(os.fspath(video(tmp_path / "a.mkv", 5)), view=View(step=2)) as source:
        assert (source.size, source.rate, source.live) == ((32, 16), 5.0, False)
        assert [brightness(frame) for frame in source] == [0, 20, 40]


def test_a_folder_gives_pictures_and_videos_one_after_the_other(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 3)
    video(tmp_path / "b.mkv", 3)
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    (tmp_path / "d.mp4").write_bytes(b"no video")
    picture(tmp_path / "e/f.png", 5, (8, 8))
    heard: list[SourceError] = []
    with open_source([tmp_path], report=heard.append) as source:
        frames = list(source)
    named = [(Path(frame.source).name, frame.index, brightness(frame)) for frame in frames]
    assert named == [
        ("a.png", 0, 3),
        ("b.mkv", 0, 0),
        ("b.mkv", 1, 10),
        ("b.mkv", 2, 20),
        ("f.png", 0, 5),
    ]
    assert [frame.time for frame in frames] == pytest.approx([None, 0, 0.1, 0.2, None])
    assert [Path(str(error).split(":")[0]).name for error in source.errors] == ["c.jpg", "d.mp4"]
    assert heard == source.errors


def test_pictures_are_chosen_as_one_row_and_turned(tmp_path: Path) -> None:
    for value in range(10):
        picture(tmp_path / f"{value}.png", value)
    view = View(first=2, last=8, step=3, rotate=90)
    with open_source(tmp_path, view=view) as source:
        assert source.count == 3
        frames = list(source)
    assert [brightness(frame) for frame in frames] == [2, 5, 8]
    assert {frame.size for frame in frames} == {(16, 32)}


def test_a_closed_source_opens_no_more_files(tmp_path: Path) -> None:
    for name in "ab":
        video(tmp_path / f"{name}.mkv", 3)
    source = open_source(tmp_path)
    next(source)
    source.close()
    source.close()
    assert list(source) == []


@pytest.mark.parametrize("name", ["gone.mp4", "*.mp4"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="nothing matches"):
        open_source(tmp_path / name)


def test_frames_of_arrays_are_pictures_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    frame = Frame(noise, "a", 3, 0.5)
    assert frame.image is noise
    assert frame.size == (60, 40)
    assert np.array_equal(at_size(frame, (30, 20)), resized(noise, (30, 20)))
    assert frame.poses is None
    assert repr(frame) == "Frame('a', 3, 0.500 s, 60x40)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 1.5}, "step must be a whole number, not 1.5"),
        ({"first": "2"}, "first must be a whole number, not '2'"),
        ({"last": 2.5}, "last must be a whole number, not 2.5"),
        ({"first": None}, "first must be a whole number, not None"),
    ],
)
def test_a_view_counts_in_whole_numbers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        View(**options)


def test_what_is_no_input_is_refused() -> None:
    for wrong in (3.5, None, {"a.png"}):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            open_source(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the list of inputs is empty"):
        open_source([])
    with pytest.raises(TypeError, match="view must be a View or None, not str"):
        open_source("a.png", view="every second")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": -1}, "first frame must be 0 or later, not -1"),
        ({"first": 5, "last": 4}, "last frame, 4, comes before the first, 5"),
        ({"step": 0}, "step from frame to frame must be at least 1, not 0"),
        ({"rotate": 45}, "0, 90, 180 or 270 degrees, not 45"),
    ],
)
def test_a_view_out_of_range_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        View(**options)


def person(x: float, y: float) -> np.ndarray:
    """All parts in one place, the first of them missing."""
    points = np.tile(np.array([x, y, 0.5], np.float32), (25, 1))
    points[0] = 0
    return points


def poses(*people: np.ndarray) -> Poses:
    keypoints = np.stack(people) if people else np.zeros((0, 25, 3), np.float32)
    return Poses(
        keypoints=keypoints,
        scores=np.full(len(people), 0.5, np.float32),
        filled=np.zeros(keypoints.shape[:2], np.bool_),
        topology=BODY_25,
        size=(0, 0),
    )


@pytest.fixture
def jsons(tmp_path: Path) -> Path:
    """What OpenPose wrote for three frames of a video; in the first is nobody."""
    write_openpose(tmp_path / "walk_000000000000_keypoints.json", poses())
    write_openpose(tmp_path / "walk_000000000002_keypoints.json", poses(person(10, 20)))
    write_openpose(
        tmp_path / "walk_000000000010_keypoints.json", poses(person(12, 22), person(100, 50.5))
    )
    (tmp_path / "notes.json").write_text("{}")
    return tmp_path


def test_a_folder_of_openpose_files_gives_frames_with_their_people(jsons: Path) -> None:
    with open_source(jsons) as source:
        assert (source.count, source.rate, source.live) == (3, None, False)
        frames = list(source)
    assert source.errors == []
    assert [frame.index for frame in frames] == [0, 2, 10]
    assert {frame.source for frame in frames} == {os.fspath(jsons / "walk")}
    assert [len(frame.poses) for frame in frames] == [0, 1, 2]
    assert {frame.poses.topology.name for frame in frames} == {BODY_25.name}  # the empty one's, too
    assert np.array_equal(frames[1].poses.keypoints[0], person(10, 20))
    # All points lie inside: pixel 100 needs 101 columns, and sizes are even.
    assert {frame.size for frame in frames} == {frame.poses.size for frame in frames} == {(102, 52)}
    assert source.size == (102, 52)
    assert frames[2].image.shape == (52, 102, 3)
    assert not frames[2].image.any()
    assert at_size(frames[2], (30, 20)).shape == (20, 30, 3)


def test_size_and_rate_of_openpose_files_can_be_told(jsons: Path) -> None:
    view = View(first=2, step=8)
    with OpenPoseFiles(jsons, size=(640, 480), rate=24, view=view) as source:
        assert (source.count, source.rate, source.size) == (2, 3.0, (640, 480))
        frames = list(source)
    assert [frame.index for frame in frames] == [2, 10]
    assert [frame.time for frame in frames] == pytest.approx([2 / 24, 10 / 24])
    assert {frame.poses.size for frame in frames} == {(640, 480)}


def test_a_damaged_openpose_file_is_reported_and_the_others_kept(jsons: Path) -> None:
    damaged = jsons / "walk_000000000002_keypoints.json"
    damaged.write_text('{"people": [')
    with open_source(jsons) as source:
        assert [frame.index for frame in source] == [0, 10]
    (error,) = source.errors
    assert str(damaged) in str(error)
    assert "not OpenPose JSON" in str(error)


def test_points_farther_than_any_picture_are_one_damaged_file(jsons: Path) -> None:
    write_openpose(jsons / "walk_000000000003_keypoints.json", poses(person(1e9, 1e9)))
    with open_source(jsons) as source:
        assert source.size == (102, 52)
        assert [frame.index for frame in source] == [0, 2, 10]
    assert [str(error).partition(": ")[2] for error in source.errors] == [
        "its points reach as far as 1000000000, 1000000000"
    ]


def test_openpose_files_of_pictures_and_of_several_videos(tmp_path: Path) -> None:
    for stem in ("b_000000000000", "b_000000000001", "a_000000000007", "photo", "12"):
        write_openpose(tmp_path / f"{stem}_keypoints.json", poses(person(1, 1)))
    with OpenPoseFiles(tmp_path, rate=10) as source:
        found = [(Path(frame.source).name, frame.index, frame.time) for frame in source]
    assert found == [("12", 0, None), ("a", 7, 0.7), ("b", 0, 0), ("b", 1, 0.1), ("photo", 0, None)]


def test_nothing_but_damaged_openpose_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a_keypoints.json").write_text(json.dumps({"people": 3}))
    with pytest.raises(SourceError, match="not OpenPose JSON"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="no file of OpenPose"):
        OpenPoseFiles(tmp_path / "..", view=View(first=10**6))
    with pytest.raises(SourceError, match="No such file"):
        OpenPoseFiles(tmp_path / "gone")
    with pytest.raises(ValueError, match="cannot be turned"):
        OpenPoseFiles(tmp_path, view=View(flip=True))


def test_pictures_beside_openpose_files_are_the_source(jsons: Path) -> None:
    picture(jsons / "a.png", 9)
    with open_source(jsons) as source:
        assert [brightness(frame) for frame in source] == [9]


# Odd entries of folders -------------------------------------------------------------------------


def read(*given: str | Path) -> tuple[list[str], list[str]]:
    """The names of the pictures that inputs give, and what goes wrong."""
    files = find_inputs([os.fspath(one) for one in given]).files
    with Files(files) as source:
        found = [Path(frame.source).name for frame in source]
    return found, [str(error) for error in source.errors]


def test_each_odd_entry_of_a_folder_is_one_failed_input(tmp_path: Path) -> None:
    for name in ("a.png", "z.png"):
        picture(tmp_path / name)
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "through.png").symlink_to("a.png/inside.png")
    (tmp_path / "folder.png").mkdir()
    found, errors = read(tmp_path)
    assert found == ["a.png", "z.png"]
    assert [Path(error.partition(": ")[0]).name for error in errors] == [
        "gone.png",
        "loop.png",
        "through.png",
    ]


def test_a_folder_that_may_not_be_entered_is_one_failed_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path: str | Path) -> Iterator[os.DirEntry[str]]:  # root may enter any folder
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found, errors = read(tmp_path)
    assert found == ["a.png"]
    assert errors == [f"{tmp_path / 'locked'}: Permission denied"]


def test_pipes_are_left_out_with_a_word_and_fail_where_they_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.warns(SourceWarning, match=r"pipe\.jpg is left out: it is no regular file"):
        assert read(tmp_path) == (["a.png"], [])
    _, errors = read(tmp_path / "pipe.jpg", tmp_path / "a.png")
    assert errors == [f"{tmp_path / 'pipe.jpg'}: it is no regular file"]


def test_folders_within_folders_without_end_are_read_as_far_as_names_reach(tmp_path: Path) -> None:
    inner = tmp_path
    for _ in range(1100):
        inner = inner / "d"
        inner.mkdir()
    picture(inner / "deep.png")
    picture(tmp_path / "flat.png")
    assert read(tmp_path) == (["deep.png", "flat.png"], [])
    make_folder(tmp_path / "out" / inner.relative_to(tmp_path))
    for top in ("d", "out"):  # shutil.rmtree of CPython 3.11 recurses
        subprocess.run(["rm", "-rf", tmp_path / top], check=True)


def test_names_past_the_limits_are_one_failed_input(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    long = "n" * 300 + ".png"
    found, errors = read(tmp_path / "a.png", tmp_path / long)
    assert found == ["a.png"]
    assert len(errors) == 1
    assert "File name too long" in errors[0]


def test_a_picture_that_vanishes_before_its_turn_is_one_failed_input(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    with open_source(tmp_path) as source:
        assert Path(next(source).source).name == "a.png"
        (tmp_path / "b.png").unlink()
        assert [Path(frame.source).name for frame in source] == ["c.png"]
    assert [str(error) for error in source.errors] == [
        f"{tmp_path / 'b.png'}: No such file or directory"
    ]


def test_numbered_pictures_are_taken_by_their_pattern(tmp_path: Path) -> None:
    for name in ("f_0002.png", "f_0010.png", "f_0001.png", "f_12345.png", "f_1.png", "g_0001.png"):
        cv2.imwrite(os.fspath(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    found = find_inputs([tmp_path / "f_%04d.png"]).files
    expected = ["f_0001.png", "f_0002.png", "f_0010.png", "f_12345.png"]
    assert [file.path.name for file in found] == expected
    assert {file.root for file in found} == {tmp_path}
    unpadded = [file.path.name for file in find_inputs([tmp_path / "f_%d.png"]).files]
    assert unpadded == ["f_0001.png", "f_1.png", *expected[1:]]
    with pytest.raises(ValueError, match="nothing matches the input"):
        find_inputs([tmp_path / "h_%04d.png"])


def test_a_single_openpose_file_is_an_input(jsons: Path) -> None:
    file = sorted(jsons.glob("*_keypoints.json"))[0]
    assert find_inputs([file]).files[0].kind == "poses"
    with open_source(file) as source:
        (frame,) = source
    assert frame.poses is not None
    with open_source(jsons) as source:
        assert next(source).source == frame.source


def test_openpose_files_of_other_names_are_taken(tmp_path: Path) -> None:
    for number in (30, 9, 100):
        write_openpose(tmp_path / f"cam01.{number:04}.json", poses(person(10, 20)))
    (tmp_path / "notes.json").write_text("[1, 2]")
    assert [file.kind for file in find_inputs([tmp_path]).files] == ["poses"]
    with open_source(tmp_path) as source:
        frames = [*source]
    assert [frame.index for frame in frames] == [9, 30, 100]
    assert {frame.source for frame in frames} == {os.fspath(tmp_path / "cam01")}
    single = tmp_path / "cam01.0030.json"
    assert find_inputs([single]).files[0].kind == "poses"
    with open_source(single) as source:
        assert [frame.index for frame in source] == [30]


@pytest.mark.parametrize("suffix", [".mjpeg", ".h264", ".insv", ".lrv"])
def test_raw_streams_and_action_cameras_files_are_videos(tmp_path: Path, suffix: str) -> None:
    raw = suffix in (".mjpeg", ".h264")
    options = {"codec": "mjpeg", "pix_fmt": "yuvj420p"} if suffix == ".mjpeg" else {}
    made = tmp_path / f"a{suffix}" if raw else tmp_path / "a.mp4"
    file = videos.write(made, [videos.barred(k) for k in range(5)], **options)
    file = file.rename(tmp_path / f"b{suffix}")
    assert find_inputs([tmp_path]).files[0].kind == "video"
    with open_source(file) as source:
        assert [videos.shown(frame.image) for frame in source] == [*range(5)]
