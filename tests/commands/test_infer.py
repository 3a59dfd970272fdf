"""The command `python -m openpose_ext.infer`, run as a user runs it.

One run over a folder of odd files with the real network, looked at from all sides; everything
that does not depend on the network runs in this process with a stand-in for it.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import videos
from openpose_ext import __main__ as console
from openpose_ext import infer
from openpose_ext.cli.infer_flags import infer_parser
from openpose_ext.cli.openpose_flags import OPENPOSE_FLAGS, Treatment
from openpose_ext.errors import BackendError, ModelError, SourceWarning
from openpose_ext.outputs.json_lines import JsonLinesWriter
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.txt import read_txt
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from standin import Standin

HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def opened(file: str | Path) -> Image.Image:
    """A picture as Pillow reads it; the file is closed."""
    return Image.open(io.BytesIO(Path(file).read_bytes()))


def command(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    argv = [sys.executable, "-m", "openpose_ext.infer", *map(os.fspath, words)]  # type: ignore
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, **options)


# The real thing -----------------------------------------------------------------------------

GOOD = [
    "cmyk.jpg",
    "day 1/日本 語.png",
    "day 1/наголос́.jpg",
    "gray.png",
    "gray16.png",
    "nobody.png",
    "rgba.png",
    "tall.png",
    "turned.jpg",
    "web.webp",
    "wide.png",
]
BAD = {
    "cut.jpg": "truncated or damaged JPEG",
    "empty.png": "the file is empty",
    "phone.heic": "HEIC",
    "text.png": "not a picture",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of all kinds, and files that are none."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "day 1").mkdir()
    person = opened(HOPPER).convert("RGB")
    person.thumbnail((256, 300))
    person.save(folder / "day 1/日本 語.png")
    person.save(folder / "day 1/наголос́.jpg")
    person.convert("CMYK").save(folder / "cmyk.jpg")
    person.convert("L").save(folder / "gray.png")
    Image.fromarray(np.asarray(person.convert("L")).astype(np.uint16) * 257).save(
        folder / "gray16.png"
    )
    person.convert("RGBA").save(folder / "rgba.png")
    person.save(folder / "web.webp")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    person.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif, quality=95)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(folder / "nobody.png")
    Image.new("RGB", (6000, 20), (90, 90, 90)).save(folder / "wide.png")
    Image.new("RGB", (20, 6000), (90, 90, 90)).save(folder / "tall.png")

    data = HOPPER.read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (folder / "notes.md").write_text("not an input")
    (folder / ".hidden.png").write_text("not an input")
    return folder


@pytest.fixture(scope="module")
def run(odd: Path) -> subprocess.CompletedProcess[str]:
    """The command on that folder; results in its subfolder `out`, which holds an older one."""
    old = odd / "out" / "older_rendered.png"
    old.parent.mkdir()
    Image.new("RGB", (8, 8)).save(old)
    return command(odd, "-o", odd / "out")


def test_broken_files_are_named_with_the_reason_and_the_others_go_on(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    assert run.returncode == 1, run.stderr
    told = run.stderr.strip().splitlines()
    lines = [line for line in told if "max_pixels" not in line]
    assert len(told) == len(lines) + 1, "the panorama that is shrunk"
    assert len(lines) == len(BAD), "one line a failure, and no words of the libraries"
    for name, reason in BAD.items():
        assert any(str(odd / name) in line and reason in line for line in lines)


def test_the_summary_counts_and_times(run: subprocess.CompletedProcess[str]) -> None:
    (summary,) = run.stdout.strip().splitlines()
    assert summary.startswith(f"{len(GOOD)} pictures, ")
    assert f"{len(BAD)} failed, 1 output left out" in summary
    for stage in ("read", "preprocess", "network", "decode", "draw", "write"):
        assert f"{stage} " in summary


def test_every_picture_has_its_three_files_and_nothing_else_is_written(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    ends = ("_rendered.png", "_keypoints.json", ".txt")
    expected = {os.path.splitext(name)[0] + end for name in GOOD for end in ends}
    out = odd / "out"
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == expected | {"older_rendered.png"}


def test_rendered_pictures_are_upright_and_of_the_size_of_the_source(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    for name in GOOD:
        rendered = opened(odd / "out" / (os.path.splitext(name)[0] + "_rendered.png"))
        source = opened(odd / name)
        turned = name == "turned.jpg"
        assert rendered.size == (source.size[::-1] if turned else source.size)
        assert rendered.mode == "RGB"


def test_json_and_txt_hold_the_same_people(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    for name in GOOD:
        stem = odd / "out" / os.path.splitext(name)[0]
        content = json.loads(Path(f"{stem}_keypoints.json").read_text())
        text = read_txt(f"{stem}.txt")
        assert content["version"] == 1.3
        assert len(content["people"]) == len(text)
        for person, points in zip(content["people"], text.keypoints, strict=True):
            flat = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
            np.testing.assert_allclose(flat, points, atol=2e-3)
            assert person["hand_left_keypoints_2d"] == [] == person["hand_right_keypoints_2d"]
        assert text.size == opened(f"{stem}_rendered.png").size


def test_the_same_person_is_found_in_every_form_of_the_picture(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    """The nose of Grace Hopper lies in the upper middle, whatever the file's form."""
    for name in (
        "cmyk",
        "day 1/日本 語",
        "day 1/наголос́",
        "gray",
        "gray16",
        "rgba",
        "turned",
        "web",
    ):
        poses = read_openpose(odd / f"out/{name}_keypoints.json")
        x, y, score = poses.keypoints[0, 0]
        assert score > 0.2, name
        assert 90 < x < 160, name
        assert 60 < y < 130, name


def test_a_picture_without_people_still_has_its_files(
    odd: Path, run: subprocess.CompletedProcess[str]
) -> None:
    text = (odd / "out/nobody_keypoints.json").read_text()
    assert text == '{"version":1.3,"people":[]}'
    assert (odd / "out/nobody.txt").read_text() == "# openpose_ext 1 coco_18 64 64\n"
    drawn = np.asarray(opened(odd / "out/nobody_rendered.png"))
    assert (drawn == 90).all()


@pytest.mark.parametrize("options", ["", "--refine 600"], ids=["smaller", "larger"])
def test_tables_of_a_video_are_written_without_opencv(tmp_path: Path, options: str) -> None:
    """Regions are made smaller, or larger."""
    video = tmp_path / "hopper.mp4"
    small = Image.open(HOPPER).resize((96, 112))
    with av.open(video, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for x in range(0, 70, 10):
            picture = Image.new("RGB", (256, 256), "grey")
            picture.paste(small, (31 + x, 31))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    code = (
        "import sys\n"
        "from openpose_ext.infer import main\n"
        "status = main(sys.argv[1:])\n"
        "print(status, 'cv2' in sys.modules)"
    )
    words = f"{video} --height 256 --detect_every 3 --write_json {tmp_path / 'out'} {options}"
    argv = [sys.executable, "-c", code, *words.split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    people = [read_openpose(file) for file in sorted((tmp_path / "out").rglob("*_keypoints.json"))]
    assert [len(frame) for frame in people] == [1] * 7
    noses = [frame.keypoints[0, 0, 0] for frame in people]
    np.testing.assert_allclose(np.diff(noses), 10, atol=5)


def test_hands_are_written_and_drawn(odd: Path, tmp_path: Path) -> None:
    """With the embedded networks: a person from the waist up, both arms seen."""
    picture = tmp_path / "a.png"
    skimage = pytest.importorskip("skimage.data")
    Image.fromarray(skimage.astronaut()).save(picture)
    done = command(picture, "-o", tmp_path / "out", "--hand", "--precision", "f32")
    assert done.returncode == 0, done.stderr
    assert ", hands " in done.stdout
    poses = read_openpose(tmp_path / "out/a_keypoints.json")
    text = read_txt(tmp_path / "out/a.txt")
    assert text.hands is not None
    assert text.hands.shape == (len(text), 2, 21, 3)
    if poses.hands is not None:
        np.testing.assert_allclose(poses.hands, text.hands, atol=2e-3)
    people = json.loads((tmp_path / "out/a_keypoints.json").read_text())["people"]
    assert people
    for person in people:
        for side in ("left", "right"):
            assert len(person[f"hand_{side}_keypoints_2d"]) == 63
    lines = [line.split()[0] for line in (tmp_path / "out/a.txt").read_text().splitlines()[1:]]
    assert lines == ["body", "left_hand", "right_hand"] * len(people)


def test_help_shows_examples_and_loads_without_a_picture() -> None:
    shown = command("--help")
    assert shown.returncode == 0
    assert not shown.stderr
    assert "examples:\n  python -m openpose_ext.infer photo.jpg" in shown.stdout


def test_ctrl_c_leaves_whole_files_only(tmp_path: Path) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    for k in range(400):
        (pictures / f"{k:03}.jpg").symlink_to(HOPPER)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "openpose_ext.infer", pictures, "-o", out, "--height", "96"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not list(out.glob("*.txt")) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.strip() == "openpose-ext: interrupted"
    assert "0 failed" in stdout
    files = sorted(out.iterdir())
    assert 3 <= len(files) < 1200
    for file in files:
        if file.suffix == ".json":
            assert json.loads(file.read_text())["version"] == 1.3
        elif file.suffix == ".png":
            opened(file).load()
        else:
            assert file.suffix == ".txt"
            read_txt(file)


# With a stand-in for the network -------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two pictures in `in`, and the stand-in for the network."""
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), (90, 90, 90)).save(tmp_path / "in" / name)
    return tmp_path


def written(folder: str = ".") -> list[str]:
    """All files below a folder but those in `in`."""
    files = [p for p in Path(folder).rglob("*") if p.is_file() and p.parts[0] != "in"]
    return sorted(p.relative_to(folder).as_posix() for p in files)


def run_here(*words: str) -> int:
    return infer.main(words)


def test_results_go_to_openpose_output_by_default(place: Path) -> None:
    assert run_here("in") == 0
    ends = (".txt", "_keypoints.json", "_rendered.png")
    assert written("openpose_output") == [stem + end for stem in "ab" for end in ends]


@pytest.mark.parametrize("flag", ["--write_json", "--write-json"])
def test_a_write_flag_leaves_only_what_it_names(place: Path, flag: str) -> None:
    assert run_here("in", flag, "-o", "out") == 0
    assert written() == ["out/a_keypoints.json", "out/b_keypoints.json"]


def test_each_kind_of_result_goes_to_its_own_place(place: Path) -> None:
    words = ["--write_json", "j", "--write_images", "i/deep", "--write_txt", "-o", "t"]
    assert run_here("in/a.png", *words, "--write_images_format", "jpg") == 0
    assert written() == ["i/deep/a_rendered.jpg", "j/a_keypoints.json", "t/a.txt"]
    assert opened("i/deep/a_rendered.jpg").format == "JPEG"


def test_inputs_and_flags_come_in_any_order(place: Path) -> None:
    assert run_here("in/a.png", "-o", "out", "in/b.png", "--write_txt") == 0
    assert written() == ["out/a.txt", "out/b.txt"]
    assert run_here("--write_txt", "-o", "out2", "--", "in/a.png") == 0


def test_body25_json_from_a_network_of_18_parts(place: Path) -> None:
    assert run_here("in/a.png", "--write_json", "j", "--json_format", "body25") == 0
    person = json.loads(Path("j/a_keypoints.json").read_text())["people"][0]
    points = np.array(person["pose_keypoints_2d"]).reshape(25, 3)
    assert (points[19:] == 0).all()
    assert (points[:19] != 0).all()


def test_the_best_people_are_kept(place: Path) -> None:
    for limit, expected in (("1", 1), ("-1", 2), ("5", 2)):
        assert run_here("in/a.png", "--write_txt", "t", "--number_people_max", limit) == 0
        assert len(read_txt("t/a.txt")) == expected
    assert read_txt("t/a.txt").scores[0] == 1


def test_what_is_drawn(place: Path) -> None:
    def rendered(*words: str) -> np.ndarray:
        assert run_here("in/a.png", "--write_images", "i", *words) == 0
        return np.asarray(opened("i/a_rendered.png"))

    assert len(np.unique(rendered().reshape(-1, 3), axis=0)) > 5
    assert (rendered("--render_threshold", "0.9") == 90).all()
    assert (rendered("--render_pose", "0") == 90).all()
    assert rendered("--disable_blending").min() == 0
    assert (rendered("--disable_blending=false")[-1, -1] == 90).all()
    assert (rendered("--nodisable_blending")[-1, -1] == 90).all()


def test_hands_are_drawn_above_their_own_threshold(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = infer.PoseEstimator.__call__

    def with_hands(self: Standin, frame: Frame) -> Poses:
        hands = np.zeros((self.people, 2, 21, 3), np.float32)
        hands[0, 1, 5:7] = [(22, 5, 0.5), (34, 5, 0.5)]
        return replace(found(self, frame), hands=hands)

    monkeypatch.setattr(infer.PoseEstimator, "__call__", with_hands)

    def at_the_finger(*words: str) -> list[int]:
        assert run_here("in/a.png", "--hand", "--write_images", "i", *words) == 0
        return np.asarray(opened("i/a_rendered.png"))[5, 28].tolist()

    assert at_the_finger() == [150, 150, 0], "the index finger is yellow"
    assert at_the_finger("--hand_render_threshold", "0.6") == [90, 90, 90]


def test_without_drawing_no_pictures_are_written_unless_asked_for(place: Path) -> None:
    assert run_here("in/a.png", "-o", "out", "--render_pose", "0", "--display", "0") == 0
    assert written() == ["out/a.txt", "out/a_keypoints.json"]


def test_skip_existing_takes_up_where_a_run_was_interrupted(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(infer.PoseEstimator, "interrupt_after", 1)
    assert run_here("in", "-o", "out") == 130
    assert "1 picture, " in capsys.readouterr().out
    assert written() == ["out/a.txt", "out/a_keypoints.json", "out/a_rendered.png"]
    Path("out/a.txt").write_text("mine")
    assert run_here("in", "-o", "out", "--skip_existing") == 0
    assert "1 picture, 2 people, 0 failed, 1 done before" in capsys.readouterr().out
    assert Path("out/a.txt").read_text() == "mine"
    assert len(written()) == 6
    monkeypatch.setattr(infer.PoseEstimator, "refusal", AssertionError("nothing is left to do"))
    assert run_here("in", "-o", "out", "--skip_existing") == 0
    monkeypatch.setattr(infer.PoseEstimator, "refusal", None)
    monkeypatch.setattr(infer.PoseEstimator, "interrupt_after", 2)
    assert run_here("in", "-o", "out") == 0
    assert Path("out/a.txt").read_text() != "mine"


def test_inputs_of_one_name_keep_their_suffix_or_get_their_root(place: Path) -> None:
    for name in ("in/a.jpg", "in/sub/a.png", "other/a.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(name)
    assert run_here("in", "other", "--write_txt", "t") == 0
    assert written("t") == ["a.jpg.txt", "b.txt", "in/a.png.txt", "other/a.png.txt", "sub/a.txt"]


def test_inputs_that_cannot_be_told_apart_are_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("x/in", "y/in"):
        Path(folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
    assert run_here("x/in", "y/in", "-o", "out") == 2
    assert "x/in/a.png and y/in/a.png would write the same" in capsys.readouterr().err
    assert not Path("out").exists()


def test_an_input_is_never_replaced(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/a.txt").write_text("a.png")
    assert run_here("in/a.txt", "-o", "in") == 2
    assert "a.txt would replace an input" in capsys.readouterr().err
    assert Path("in/a.txt").read_text() == "a.png"


def test_results_beside_the_pictures(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run_here("in", "-o", "in") == 0
    assert "2 outputs left out" in capsys.readouterr().out
    assert len(list(Path("in").iterdir())) == 2 + 6


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"body": "lite", "height": 368, "threads": None, "mode": "fast", "fit": "pad"}),
        (["--body", "true"], {"body": "lite"}),
        (["--body", "1"], {"body": "lite"}),
        (["--body", "net.onnx"], {"body": "net.onnx"}),
        (["--model_pose", "COCO"], {"body": "openpose"}),
        (["--model_pose=BODY_25"], {"body": "body25"}),
        (["--net_resolution", "-1x256"], {"height": 256}),
        (["--normalise", "128,256"], {"normalise": (128.0, 256.0)}),
        (["--net-resolution", "656x368"], {"height": 368, "max_pixels": 656 * 368}),
        (["--height", "256", "--threads", "2"], {"height": 256, "threads": 2}),
        (["--mode", "reference", "--fit", "stretch"], {"mode": "reference", "fit": "stretch"}),
        ([], {"hand": None}),
        (["--refine", "in/a.png"], {"refine": True}),
        (["--refine", "300", "in/a.png"], {"refine": 300}),
        (["--norefine"], {"refine": False}),
        (["--hand", "landmark"], {"hand": "landmark"}),
        (["--hand", "my.onnx"], {"hand": "my.onnx"}),
        (["--hand=hands/my.onnx"], {"hand": "hands/my.onnx"}),
        *((["--hand", word], {"hand": "lite"}) for word in ("true", "1", "lite")),
        *((["--hand", word], {"hand": None}) for word in ("false", "0", "none")),
        (["--hand=false"], {"hand": None}),
        (["--nohand"], {"hand": None}),
        (["--hand", "--threads", "1"], {"hand": "lite", "threads": 1}),
        (["--hand", "in/a.png"], {"hand": "lite"}),
        (["--hand", "in"], {"hand": "lite"}),
        (["--hand", "in/*.png"], {"hand": "lite"}),
        (["--hand", "landmrk"], {"hand": "landmrk"}),
        (
            ["--hand", "--hand_scale_number", "3", "--hand_scale_range", "0.5"],
            {"hand_scales": (1 / 0.75, 1.0, 1 / 1.25)},
        ),
        (
            ["--backend", "onnxruntime", "--device", "cuda:0", "--precision", "f16"],
            {"backend": "onnxruntime", "device": "cuda:0", "precision": "f16"},
        ),
    ],
)
def test_network_flags_reach_the_estimator(
    place: Path, words: list[str], expected: dict[str, Any]
) -> None:
    assert run_here("--image_dir", "in", *words, "--write_txt", "t") == 0
    assert {name: Standin.made[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "no INPUT"),
        (["gone.jpg"], "nothing matches the input 'gone.jpg'"),
        (["in", "in/*.gif"], "nothing matches the input 'in/*.gif'"),
        (["--image_dir", "gone"], "--image_dir gone is not a folder"),
        (["in", "--hieght", "256"], "unknown flag --hieght; did you mean --height?"),
        (["in", "--write_jsn=out"], "unknown flag --write_jsn; did you mean --write_json?"),
        (["in", "--write"], "unknown flag --write"),
        (["in", "-x"], "unknown flag -x"),
        (["in", "--height", "0"], "'0' is not a whole number above 0"),
        (["in", "--height", "256", "--net_resolution", "-1x256"], "mean the same"),
        (["in", "--net_resolution", "656x-1"], "give -1xH or WxH"),
        (["in", "--body", "none"], "a body network is needed"),
        (["in", "--body", "2"], "own heat maps"),
        (["in", "--body", "lite", "--model_pose", "COCO"], "both name a network"),
        (["in", "--model_pose", "MPI"], "choose BODY_25 or COCO"),
        (["in", "--precision", "f64"], "invalid choice"),
        (["in", "--write_images_format", "docx"], "unknown format"),
        (["--write_json", "in/a.png"], "it is a file, not a folder"),
        (["in", "--write_json", "in/a.png"], "it is a file, not a folder"),
        (["clip.mp4"], "nothing matches the input 'clip.mp4'"),
        (["--video", "clip.mp4"], "nothing matches the input 'clip.mp4'"),
        (["--ip_camera", "0"], "--ip_camera 0 is not an address"),
        (["in", "--camera", "0"], "cannot be combined"),
        (["--camera", "0", "--camera_resolution", "big"], "give WxH"),
        (["in", "--frame_first", "5", "--frame_last", "2"], "comes before the first"),
        (["in", "--frame_rotate", "45"], "invalid choice"),
        (["in", "--tracking", "1", "--track_every", "2"], "mean the same"),
        (["in", "--write-video", "o.webm"], "a folder, or a file .mp4"),
        (["in", "--write_csv", "o.xls"], "a folder, or a file .csv"),
        (["in", "--write_heatmaps_format", "docx"], "unknown format"),
        (["in", "--keypoint_scale", "5"], "invalid choice"),
        (["in", "--part_candidates", "--mode", "reference"], "--mode reference has no heat maps"),
        (["in", "--detect_every", "5", "--mode", "zoo"], "--mode zoo needs whole frames"),
        (["in", "--frames_repeat"], "--frames_repeat: repeating a video is not supported"),
        (["in", "--body", "none", "--hand"], "needed without --hand_detector"),
        (["in", "--hand", "--hand_scale_range", "2"], "--hand_scale_range must lie in 0 to 2"),
        (["in", "--hand", "--hand_scale_number", "0"], "not a whole number above 0"),
        (["in", "--body", "none", "--face", "landmark"], "a body network is needed"),
    ],
)
def test_usage_errors_say_what_is_wrong(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert run_here(*words) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert not said.out
    assert written() == []


def test_arguments_that_the_estimator_refuses_are_usage_errors(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(infer.PoseEstimator, "refusal", ValueError("backend must be ..."))
    assert run_here("in", "--backend", "abacus") == 2
    assert "backend must be" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ModelError("no network"), BackendError("no engine")])
def test_a_missing_network_or_engine_is_exit_3(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    monkeypatch.setattr(infer.PoseEstimator, "refusal", error)
    assert run_here("in") == 3
    assert capsys.readouterr().err == f"openpose-ext: {error}\n"


def test_an_internal_error_is_exit_70_with_a_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(infer.PoseEstimator, "refusal", ZeroDivisionError("oh"))
    assert run_here("in") == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_exit_4_before_any_work(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert run_here("in", "-o", "file/out") == 4
    assert "file cannot be made: a file of that name is in the way" in capsys.readouterr().err
    assert run_here("in", "-o", "file") == 2


def test_a_full_disk_is_exit_4_and_what_was_finished_is_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace: Callable[..., None] = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "b_keypoints.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert run_here("in", "-o", "out") == 4
    said = capsys.readouterr()
    assert "out/b_keypoints.json cannot be written: No space left on device" in said.err
    assert said.out.startswith("1 picture, ")
    assert written("out") == ["a.txt", "a_keypoints.json", "a_rendered.png", "b_rendered.png"]


def test_a_picture_too_large_for_the_format_is_one_failure(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("wide.png", np.zeros((2, 66000, 3), np.uint8))
    assert run_here("wide.png", "--write_images", "i", "--write_images_format", "jpg") == 1
    assert "66000 x 2" in capsys.readouterr().err
    assert written("i") == []


def test_a_name_that_is_no_text_is_reported(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"in/\xff.png")
    try:
        Path(name).write_text("hello")
    except OSError:
        pytest.skip("this file system wants names to be text")
    assert run_here("in", "-o", os.fsdecode(b"out\xff")) == 1
    assert len(written(os.fsdecode(b"out\xff"))) == 6


# Videos ---------------------------------------------------------------------------------------


def write_clip(file: str | Path, frames: int = 12, size: tuple[int, int] = (64, 48)) -> Path:
    """A video of 20 frames a second, brighter from frame to frame, with noise in the upper half."""
    noise = np.random.default_rng(1)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), 40 + 4 * number % 160, np.uint8)
            picture[: size[1] // 2] += noise.integers(0, 50, (size[1] // 2, size[0], 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return Path(file)


def shown(file: str | Path) -> list[np.ndarray]:
    """The frames of a video, as PyAV reads it."""
    with av.open(str(file)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def of_frames(stem: str, numbers: Iterable[int]) -> list[str]:
    return [f"{stem}_{number:012d}_keypoints.json" for number in numbers]


@pytest.fixture
def clip(place: Path) -> Path:
    return write_clip("in/clip.mp4")


def test_a_video_gets_a_rendered_video_a_table_and_json_for_each_frame(clip: Path) -> None:
    assert run_here("in/clip.mp4", "-o", "out") == 0
    assert written("out") == ["clip.csv", *of_frames("clip", range(12)), "clip_rendered.mp4"]
    table = pd.read_csv("out/clip.csv")
    assert table.frame.unique().tolist() == list(range(12))
    assert table.time.unique() == pytest.approx(np.arange(12) / 20)
    assert len(table) == 12 * 2 * 18
    pictures = shown("out/clip_rendered.mp4")
    assert len(pictures) == 12
    assert pictures[0].shape == (48, 64, 3)
    backgrounds = [float(picture[-1, -1].mean()) for picture in pictures]
    steps = np.array(backgrounds) - backgrounds[0]
    assert steps == pytest.approx(4 * np.arange(12), abs=2.5), "in order"


def test_chosen_frames_keep_their_numbers(clip: Path) -> None:
    chosen = ["--frame_first", "2", "--frame_last", "8", "--frame_step", "3"]
    assert run_here("in/clip.mp4", "--write_json", "j", *chosen) == 0
    assert written("j") == of_frames("clip", (2, 5, 8))


def test_frames_are_turned(clip: Path) -> None:
    turn = ["--frame_rotate", "90", "--frame_flip"]
    assert run_here("in/clip.mp4", "--write_video", "v.mp4", *turn) == 0
    assert shown("v.mp4")[0].shape == (64, 48, 3)


def test_a_folder_of_pictures_and_videos(clip: Path) -> None:
    write_clip("in/b.avi", 3)
    assert run_here("in", "-o", "out") == 0
    ends = (".txt", "_keypoints.json", "_rendered.png")
    of_b = ["b.avi.csv", *of_frames("b.avi", range(3)), "b.avi_rendered.mp4"]
    of_clip = ["clip.csv", *of_frames("clip", range(12)), "clip_rendered.mp4"]
    pictures = [stem + end for stem in ("a", "b.png") for end in ends]
    assert written("out") == sorted([*pictures, *of_b, *of_clip])


def test_what_is_named_as_a_file_holds_all_inputs(clip: Path) -> None:
    words = ["--write_csv", "all.csv", "--write_coco_json", "all.json", "--write_jsonl", "l"]
    assert run_here("in", *words) == 0
    table = pd.read_csv("all.csv")
    assert len(table) == (2 + 12) * 2 * 18
    assert table.source.nunique() == 3
    results = json.loads(Path("all.json").read_text())
    images = json.loads(Path("all_images.json").read_text())["images"]
    assert len(results) == 28
    assert {result["image_id"] for result in results} == {image["id"] for image in images}
    assert written("l") == ["clip.jsonl", "pictures.jsonl"]
    assert len(Path("l/clip.jsonl").read_text().splitlines()) == 12


def test_a_single_video_gives_its_rate_to_the_file_that_is_named(clip: Path) -> None:
    assert run_here("in/clip.mp4", "--write_video", "v.mp4") == 0
    assert run_here("in/clip.mp4", "--write_video", "fast.mp4", "--write_video_fps", "40") == 0
    for file, rate in (("v.mp4", 20), ("fast.mp4", 40)):
        with av.open(file) as container:
            assert container.streams.video[0].average_rate == rate


def test_people_keep_their_ids(clip: Path) -> None:
    assert run_here("in/clip.mp4", "--write_csv", "t.csv", "--write_json", "j") == 0
    assert pd.read_csv("t.csv").id.isna().all()
    assert (
        run_here("in/clip.mp4", "--write_csv", "t.csv", "--write_json", "j", "--identification")
        == 0
    )
    table = pd.read_csv("t.csv")
    assert not table.id.isna().any()
    people = json.loads(Path("j/clip_000000000011_keypoints.json").read_text())["people"]
    last = table[table.frame == 11].drop_duplicates("person")
    assert [person["person_id"] for person in people] == [[n] for n in last.id.tolist()]


@pytest.mark.parametrize(
    ("words", "looked_at"),
    [
        (["--track_every", "4"], 3),
        (["--tracking", "3"], 3),
        (["--tracking", "0"], 12),
        (["--track_every", "4", "--smooth"], 3),
        (["--smooth"], 12),
    ],
)
def test_the_network_looks_at_some_frames_and_all_have_people(
    clip: Path, words: list[str], looked_at: int
) -> None:
    assert run_here("in/clip.mp4", "--write_json", "j", *words) == 0
    assert Standin.calls == looked_at
    assert written("j") == of_frames("clip", range(12))
    for file in Path("j").iterdir():
        assert len(json.loads(file.read_text())["people"]) == 2


def test_openposes_own_files_are_drawn_followed_and_written_again(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_here("in/clip.mp4", "--write_json", "j") == 0
    monkeypatch.setattr(infer.PoseEstimator, "refusal", AssertionError("nobody is looked for"))
    assert run_here("j", "--write_csv", "t.csv", "--write_video", "v.mp4", "--identification") == 0
    assert len(pd.read_csv("t.csv")) == 12 * 2 * 18
    assert shown("v.mp4")[0].max() > 100


def test_a_damaged_video_is_reported_and_the_rest_is_kept(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip("in/long.avi", 60, (320, 240)).read_bytes()
    clip.write_text("no video")
    Path("in/long.avi").write_bytes(whole[: len(whole) * 2 // 3])
    assert run_here("in/clip.mp4", "in/long.avi", "in/a.png", "--write_json", "j") == 1
    said = capsys.readouterr()
    assert "in/clip.mp4: " in said.err
    assert "in/long.avi: " in said.err
    assert len([name for name in written("j") if name.startswith("long_")]) > 20
    assert "a_keypoints.json" in written("j")
    assert " 0 failed" not in said.out


@pytest.mark.parametrize("words", [["--camera", "77"], ["--ip_camera", "rtsp://127.0.0.1:9/x"]])
def test_a_camera_that_is_not_there_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run_here(*words, "--write_json", "j") == 1
    assert words[1] in capsys.readouterr().err
    assert written("j") == []


def test_skip_existing_leaves_out_frames_that_have_their_files(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("in/clip.mp4", "--write_json", "j", "--frame_last", "4") == 0
    mine = Path("j/clip_000000000003_keypoints.json")
    mine.write_text("mine")
    assert run_here("in/clip.mp4", "--write_json", "j", "--skip_existing") == 0
    assert Standin.calls == 7
    assert "7 frames, 14 people, 0 failed, 5 done before" in capsys.readouterr().out
    assert mine.read_text() == "mine"


def test_skip_existing_leaves_out_videos_that_are_done(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip("in/other.mp4", 3)
    assert run_here("in/clip.mp4", "-o", "out") == 0
    before = Path("out/clip_rendered.mp4").stat().st_mtime_ns
    capsys.readouterr()
    assert run_here("in/clip.mp4", "in/other.mp4", "-o", "out", "--skip_existing") == 0
    assert "3 frames, 6 people, 0 failed, 1 done before" in capsys.readouterr().out
    assert Path("out/clip_rendered.mp4").stat().st_mtime_ns == before


def test_an_interrupted_video_is_finished_and_known_to_be_short(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupts(self: Standin, frame: Frame) -> Poses:
        if frame.index == 6:
            raise KeyboardInterrupt
        return found(self, frame)

    found = infer.PoseEstimator.__call__
    monkeypatch.setattr(infer.PoseEstimator, "__call__", interrupts)
    assert run_here("in/clip.mp4", "-o", "out", "--threads", "1") == 130
    assert len(shown("out/clip_rendered.unfinished.mp4")) == 6
    assert pd.read_csv("out/clip.unfinished.csv").frame.max() == 5
    monkeypatch.setattr(infer.PoseEstimator, "__call__", found)
    assert run_here("in/clip.mp4", "-o", "out", "--skip_existing") == 0
    assert len(shown("out/clip_rendered.mp4")) == 12
    assert written("out") == ["clip.csv", *of_frames("clip", range(12)), "clip_rendered.mp4"]


def test_an_output_error_leaves_no_video(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace: Callable[..., None] = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "clip_000000000007_keypoints.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert run_here("in/clip.mp4", "-o", "out") == 4
    assert "clip_000000000007_keypoints.json cannot be written" in capsys.readouterr().err
    assert set(of_frames("clip", range(7))) <= set(written("out"))
    assert not [name for name in written("out") if not name.endswith(".json")]


def test_a_picture_of_another_size_is_fitted_into_the_first_ones(place: Path) -> None:
    Image.new("RGB", (20, 20)).save("in/c.png")
    with pytest.warns(SourceWarning, match="20 x 20, are fitted into the first one's 40 x 30"):
        assert run_here("in", "--write_video", "v.mp4", "--write_csv", "t.csv") == 0
    assert len(shown("v.mp4")) == 3
    assert pd.read_csv("t.csv").source.nunique() == 3


def test_the_original_demos_line_for_a_video(clip: Path) -> None:
    line = "--video in/clip.mp4 --display 0 --write_video out/r.mp4 --write_json out/ --camera -1"
    assert run_here(*line.split()) == 0
    assert written("out") == [*of_frames("clip", range(12)), "r.mp4"]


def test_display_shows_every_drawn_frame(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, np.ndarray]] = []
    page = ModuleType("openpose_ext.serve")
    page.preview = lambda: nullcontext(  # type: ignore[attr-defined]
        lambda frame, drawn: seen.append((frame.index, drawn))
    )
    monkeypatch.setitem(sys.modules, "openpose_ext.serve", page)
    assert run_here("in/clip.mp4", "--display", "--write_json", "j") == 0
    assert [index for index, _ in seen] == list(range(12))
    assert all(len(np.unique(drawn.reshape(-1, 3), axis=0)) > 5 for _, drawn in seen)


def test_maps_candidates_and_units_come_from_the_network(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    opened(HOPPER).resize((256, 300)).save(picture)
    out = tmp_path / "out"
    words = ["--height", "96", "--precision", "f32", "-o", out, "--write_json"]
    assert infer.main([*map(str, [picture, *words])]) == 0
    plain = json.loads((out / "a_keypoints.json").read_text())
    more = ["--part_candidates", "--write_heatmaps", "--heatmaps_add_bkg", "--keypoint_scale", "1"]
    more += ["--write_heatmaps_format", "npy", "--heatmaps_scale", "3", "--write_controlnet"]
    assert infer.main([*map(str, [picture, *words, *more])]) == 0
    scaled = json.loads((out / "a_keypoints.json").read_text())
    one, other = (np.reshape(c["people"][0]["pose_keypoints_2d"], (-1, 3)) for c in (plain, scaled))
    factor = 96 / 300
    seen = one[:, 2] > 0
    expected = (one[seen, :2] + 0.5) * factor - 0.5
    np.testing.assert_allclose(other[seen, :2], expected, atol=0.3)
    candidates = np.reshape(scaled["part_candidates"][0]["0"], (-1, 3))
    nose = one[0, :2]
    assert np.hypot(*(candidates[:, :2] - nose).T).min() < 1, "in pixels of the picture"
    maps = np.load(out / "a_pose_heatmaps.npy")
    assert maps.shape[:2] == (1, 96)
    assert (out / "a_controlnet.png").exists()
    assert json.loads((out / "a_controlnet.json").read_text())["canvas_width"] == 256


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", 3000)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "ended by SIGTERM"),
        (signal.SIGHUP, "ended by SIGHUP"),
    ],
)
def test_ctrl_c_and_its_like_finish_the_video_that_was_begun(
    long_clip: Path, tmp_path: Path, number: signal.Signals, words: str
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "openpose_ext.infer", long_clip, "-o", out, "--height", "32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while len(list(out.glob("*.json"))) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert stderr.strip() == f"openpose-ext: {words}"
    assert 1 <= len(shown(out / "long_rendered.unfinished.mp4")) < 3000
    assert pd.read_csv(out / "long.unfinished.csv", dtype={"id": "Int64"}) is not None
    assert not list(out.glob(".*")), "nothing half-written"
    for file in out.glob("*.json"):
        assert json.loads(file.read_text())["version"] == 1.3


# OpenPose's flags ----------------------------------------------------------------------------

# As its documentation lists them.
ALL_FLAGS = """
image_dir video camera camera_resolution ip_camera frame_first frame_step frame_last frame_flip
frame_rotate frame_undistort camera_parameter_path frames_repeat process_real_time 3d_views
model_folder output_resolution num_gpu num_gpu_start keypoint_scale number_people_max
maximize_positives fps_max logging_level disable_multi_thread
body model_pose net_resolution net_resolution_dynamic scale_number scale_gap upsampling_ratio
heatmaps_add_parts heatmaps_add_bkg heatmaps_add_PAFs heatmaps_scale part_candidates
hand hand_detector hand_net_resolution hand_scale_number hand_scale_range
face face_detector face_net_resolution 3d identification tracking
render_pose render_threshold hand_render_threshold face_render_threshold alpha_pose alpha_heatmap
hand_alpha_pose hand_alpha_heatmap disable_blending part_to_show display fullscreen no_gui_verbose
cli_verbose write_images write_images_format write_video write_video_fps write_video_with_audio
write_json write_coco_json write_coco_json_variants write_coco_json_variant
write_heatmaps write_heatmaps_format write_keypoint write_keypoint_format
"""


def test_every_flag_of_openpose_is_in_the_table_once() -> None:
    assert sorted(flag.name for flag in OPENPOSE_FLAGS) == sorted(ALL_FLAGS.split())
    assert all(flag.note for flag in OPENPOSE_FLAGS)


@pytest.mark.parametrize("flag", OPENPOSE_FLAGS, ids=lambda flag: flag.name)
def test_every_flag_of_openpose_is_accepted_or_refused_with_its_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], flag: Any
) -> None:
    if flag.treatment is Treatment.OPTION:
        assert f"--{flag.name}" in infer_parser().format_help()
        return
    default = [f"--{flag.name}=false"] if flag.is_boolean else [f"--{flag.name}", flag.default]
    assert run_here("in", "--write_txt", "t", *default) == 0, "its default asks for nothing"
    asking = [f"--{flag.name}"] if flag.is_boolean else [f"--{flag.name}", "17"]
    refused = flag.treatment is Treatment.REFUSED
    assert run_here("in", "--write_txt", "t", *asking) == (2 if refused else 0)
    if refused:
        assert f"--{flag.name}: {flag.note}" in capsys.readouterr().err


def test_a_line_as_openpose_users_type_it(place: Path) -> None:
    line = (
        "--image_dir in --net_resolution -1x368 --display 0 --render_pose 0 --noface --hand 0 "
        "--scale_gap 0.25 --model_pose COCO --write_json out/ --logging_level 4 "
        "--number_people_max 1 --camera -1 --keypoint_scale 0 --part_candidates=false"
    )
    assert run_here(*line.split()) == 0
    assert written() == ["out/a_keypoints.json", "out/b_keypoints.json"]


# The console script --------------------------------------------------------------------------


def test_the_console_script_runs_the_same_command(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.main(["infer", "in", "--write_txt", "t"]) == 0
    assert written() == ["t/a.txt", "t/b.txt"]
    assert console.main(["infer", "gone"]) == 2


def test_the_console_script_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["--help"]) == 0
    assert "infer" in capsys.readouterr().out
    assert console.main([]) == 2
    assert console.main(["infre"]) == 2
    assert "did you mean infer?" in capsys.readouterr().err
    assert console.main(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_after_two_dashes_names_may_begin_with_a_minus(tmp_path: Path) -> None:
    cv2.imwrite(os.fspath(tmp_path / "-name.png"), np.zeros((32, 32, 3), np.uint8))
    words = ("--write_json", "out", "--height", "64", "--", "-name.png")
    run = command(*words, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "-name_keypoints.json").is_file()


@pytest.mark.parametrize(
    ("redirection", "code"), [("2>&-", 0), (">&- 2>&-", 0), (">/dev/full", 4), ("| true", 0)]
)
def test_streams_that_are_closed_or_full_end_in_no_traceback(
    tmp_path: Path, redirection: str, code: int
) -> None:
    cv2.imwrite(os.fspath(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    words = f"{sys.executable} -m openpose_ext.infer a.png --write_json out --height 64"
    run = subprocess.run(
        f"{words} {redirection}", shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == code
    assert "Traceback" not in run.stdout + run.stderr
    assert "Exception ignored" not in run.stderr
    assert (tmp_path / "out" / "a_keypoints.json").is_file()


@pytest.mark.parametrize("name", ["run1.5", "day.mp4", "day.csv"])
def test_output_is_a_folder_whatever_it_ends_in(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "a.mp4", 3)
    run = command("a.mp4", "-o", name, "--height", "32", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert ("is used as a folder" in run.stderr) == (name != "run1.5")
    assert {"a.csv", "a_rendered.mp4"} <= {file.name for file in (tmp_path / name).iterdir()}


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 3)
    (tmp_path / "all.csv").mkdir()
    run = command("a.mp4", "--write_csv", "all.csv", cwd=tmp_path)
    assert run.returncode == 2
    assert "all.csv: it is a folder, not a file" in run.stderr


def test_a_host_that_nobody_has_is_not_called_damaged(tmp_path: Path) -> None:
    run = command("rtsp://nobody.invalid/door", "--write_csv", "a.csv", cwd=tmp_path)
    assert run.returncode == 1
    assert "cannot be reached" in run.stderr


def test_the_standard_input_is_an_input(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    words = [sys.executable, "-m", "openpose_ext.infer", "-", "--height", "64", "-o", "out"]
    run = subprocess.run(words, input=picture, cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stderr
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"stdin_keypoints.json", "stdin_rendered.png", "stdin.txt"}


def test_an_animated_picture_gets_what_videos_get(place: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 32), (50 * k, 0, 0)) for k in range(3)]
    file = tmp_path / "a.webp"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=100)
    assert infer.main([str(file), "-o", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"a.csv", "a_rendered.mp4", "a_000000000002_keypoints.json"} <= names


def test_parts_that_were_filled_are_missing_unless_they_are_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filling(self: Standin, frame: Frame) -> Poses:
        poses = Standin.__call__(self, frame)
        keypoints, filled = poses.keypoints.copy(), poses.filled.copy()
        keypoints[:, 4, 2] = 0.03
        filled[:, 4] = True
        return replace(poses, keypoints=keypoints, filled=filled)

    monkeypatch.setattr(infer, "PoseEstimator", type("Filling", (Standin,), {"__call__": filling}))
    kinds = ("json", "jsonl", "txt", "csv", "parquet", "coco_json")
    words = ["in/a.png", *(f"--write_{kind}" for kind in kinds)]
    for more, scores in (([], 17), (["--keep_filled"], 18)):
        out = place / f"out{scores}"
        assert infer.main([*words, "-o", str(out), *more]) == 0
        line = json.loads((out / "pictures.jsonl").read_text())
        points = [
            read_openpose(out / "a_keypoints.json").keypoints[0],
            np.reshape(line["people"][0]["pose_keypoints_2d"], (-1, 3)),
            read_txt(out / "a.txt").keypoints[0],
        ]
        for found in points:
            assert (found[:, 2] > 0).sum() == scores
            assert found[4].any() == (scores == 18)
        for table in (pd.read_csv(out / "pictures.csv"), pd.read_parquet(out / "pictures.parquet")):
            assert len(table) == 2 * scores
        results = json.loads((out / "pictures_coco.json").read_text())
        assert [result["keypoints"][2::3].count(0) for result in results] == [0, 0]


def test_a_result_that_cannot_be_written_fails_its_input_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "n" * 245
    for name in (f"{long}.png", "c/d.png"):
        (place / "in" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(place / "in" / name)
    Image.new("RGB", (17000, 2)).save(place / "in" / "large.png")
    (place / "out" / "b_keypoints.json").mkdir(parents=True)
    (place / "out" / "c").write_text("a file where a folder must be")
    words = ["in", "-o", "out", "--write_images", "--write_json", "--write_csv", "all.csv"]
    assert infer.main([*words, "--write_images_format", "webp"]) == 1
    told = capsys.readouterr().err
    for reason in (
        f"{long}_rendered.webp cannot be written: File name too long",
        "17000 x 2 pixels",
        "b_keypoints.json cannot be written",
        "out/c cannot be made",
    ):
        assert told.count(reason) == 1, reason
    assert len(told.splitlines()) == 4
    expected = {"a_rendered.webp", "a_keypoints.json", "b_rendered.webp", "large_keypoints.json"}
    found = {file.name for file in (place / "out").iterdir() if file.is_file()}
    assert found == expected | {"c"}
    assert len({*pd.read_csv("all.csv")["source"]}) == 5


def test_a_file_of_a_video_that_cannot_be_written_fails_it_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("v.mp4", "w.mp4"):
        write_clip(place / "in" / name, 3)
    (place / "out" / "v.csv").mkdir(parents=True)
    words = ["in/v.mp4", "in/w.mp4", "-o", "out", "--write_csv", "--write_jsonl"]
    assert infer.main(words) == 1
    assert capsys.readouterr().err.count("v.csv cannot be written: Is a directory") == 1
    assert {"v.jsonl", "w.csv", "w.jsonl"} <= {file.name for file in (place / "out").iterdir()}
    assert not (place / "out" / "v.csv.unfinished").exists()


def test_pictures_too_large_for_any_video_fail_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (20000, 16)).save(
        place / "in" / "large.gif",
        save_all=True,
        duration=100,
        append_images=[Image.new("RGB", (20000, 16), "red")],
    )
    write_clip(place / "in" / "w.mp4", 3)
    assert infer.main(["in/large.gif", "in/w.mp4", "-o", "out"]) == 1
    assert "large_rendered.mp4 cannot be written" in capsys.readouterr().err
    names = {file.name for file in (place / "out").iterdir()}
    assert {"large.csv", "w_rendered.mp4", "w.csv"} <= names
    assert not [name for name in names if name.startswith(".") or "large_rendered" in name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT])
def test_a_full_disk_or_a_lost_folder_ends_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced = os.replace

    def failing(source: str, target: str) -> None:
        if os.fspath(target).endswith("b_keypoints.json"):
            raise OSError(number, os.strerror(number))
        replaced(source, target)

    monkeypatch.setattr(os, "replace", failing)
    assert infer.main(["in", "-o", "out", "--write_json", "--threads", "1"]) == 4
    assert os.strerror(number) in capsys.readouterr().err
    assert [file.name for file in (place / "out").iterdir()] == ["a_keypoints.json"]


def test_controlnet_files_are_an_object_a_picture_and_a_list_a_video(tmp_path: Path) -> None:
    videos.write(tmp_path / "v.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 3)
    cv2.imwrite(str(tmp_path / "p.png"), np.full((48, 64, 3), 90, np.uint8))
    for extra, names in (
        ([], {"p_controlnet.json": dict, "v_controlnet.json": list}),
        (["--controlnet_format", "list"], {"pictures_controlnet.json": list}),
        (["--controlnet_format", "object"], {"v_000000000002_controlnet.json": dict}),
    ):
        out = tmp_path / "_".join(["out", *extra[1:]])
        args = [tmp_path / "v.mp4", tmp_path / "p.png", "--write_controlnet", out, "--height", 64]
        assert infer.main([*map(str, args), *extra]) == 0
        for name, kind in names.items():
            assert isinstance(json.loads((out / name).read_text()), kind)
        assert len([*out.glob("v_*_controlnet.png")]) == 3
        assert min(cv2.imread(str(out / "p_controlnet.png")).shape[:2]) == 512
    assert len(json.loads((tmp_path / "out" / "v_controlnet.json").read_text())) == 3


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    cv2.imwrite(os.fspath(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".{32 * 'a'}.part").write_bytes(b"half")
    words = ("a.png", "--write_json", "out", "--height", "64", "--skip_existing")
    run = command(*words, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert os.listdir(tmp_path / "out") == ["a_keypoints.json"]
    (tmp_path / "out" / f".{32 * 'b'}.part").write_bytes(b"half")
    assert command(*words, cwd=tmp_path).returncode == 0  # nothing to do
    assert os.listdir(tmp_path / "out") == ["a_keypoints.json"]


def test_a_signal_lets_what_is_begun_be_finished(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(place / "in" / "v.mp4", 60)

    def ending(self: Standin, frame: Frame) -> Poses:
        if frame.index == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return Standin.__call__(self, frame)

    monkeypatch.setattr(infer, "PoseEstimator", type("Ending", (Standin,), {"__call__": ending}))
    words = ["in/v.mp4", "-o", "out", "--write_json", "--write_jsonl", "--write_video"]
    assert infer.main([*words, "--threads", "2"]) == 143
    lines = (place / "out" / "v.unfinished.jsonl").read_text().splitlines()
    frames = {json.loads(line)["frame"] for line in lines}
    assert frames == {*range(len(frames))}
    assert 7 < len(frames) < 60
    jsons = [file for file in (place / "out").iterdir() if file.name.endswith("keypoints.json")]
    assert len(jsons) == len(frames)
    with av.open(str(place / "out" / "v_rendered.unfinished.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(frames)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("writer", [VideoWriter, JsonLinesWriter])
def test_a_signal_lets_files_that_are_being_closed_be_finished(
    place: Path, monkeypatch: pytest.MonkeyPatch, writer: type[FrameWriter], number: int
) -> None:
    write_clip(place / "in" / "v.mp4", 5)
    write_clip(place / "in" / "w.mp4", 5)
    finish = writer._finish

    def ending(self: FrameWriter) -> None:
        os.kill(os.getpid(), number)
        finish(self)

    monkeypatch.setattr(infer, "PoseEstimator", Standin)
    monkeypatch.setattr(writer, "_finish", ending)
    words = ["in/v.mp4", "in/w.mp4", "-o", "out", "--write_jsonl", "--write_video"]
    assert infer.main(words) == 128 + number
    assert sorted(os.listdir("out")) == ["v.jsonl", "v_rendered.mp4"]
    with av.open("out/v_rendered.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_ctrl_c_while_the_command_is_loaded_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    run = command("a.png", env={**os.environ, "PYTHONPATH": os.fspath(tmp_path)})
    assert run.returncode == 130
    assert run.stdout + run.stderr == ""
