"""Files that several inputs share: every combination of what can be asked of them.

Pictures, videos or both; one or several; each with files of its own or all in one; drawn or not;
with ids or not; done before, in part or not at all; one that fails first, in the middle or last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import videos
from openpose_ext import infer
from openpose_ext.errors import SourceWarning
from standin import Standin

RATE = videos.RATE
CLIPS = {"in/a.mp4": 5, "in/b.mp4": 3, "in/d.mp4": 4}
PICTURES = ("in/p.png", "in/q.png", "in/r.png")
INPUTS = {
    "one picture": PICTURES[:1],
    "pictures": PICTURES,
    "one video": ("in/a.mp4",),
    "videos": tuple(CLIPS),
    "both": (*PICTURES[:2], "in/a.mp4", "in/b.mp4"),
}
TABLES = ("csv", "jsonl", "parquet", "coco_json")
SUFFIXES = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "coco_json": "json"}
PEOPLE = Standin.people


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with the inputs in `in`; people are known beforehand."""
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in PICTURES:
        Image.new("RGB", videos.SIZE[:2], (90, 90, 90)).save(name)
    for name, frames in CLIPS.items():
        write_clip(Path(name), frames)


def write_clip(path: Path, frames: int, size: tuple[int, int] = videos.SIZE) -> None:
    videos.write(path, videos.numbered(frames, size))


@dataclass(frozen=True)
class Asked:
    """A row of the table.

    inputs  a key of INPUTS
    shared  all in files that are named, or each in files of its own
    drawn   a video besides the tables
    ids     people are followed
    """

    inputs: str
    shared: bool
    drawn: bool
    ids: bool

    def words(self, inputs: Sequence[str], *more: str) -> list[str]:
        words = [*inputs, "-o", "out", "--threads", "1", *more]
        for kind in TABLES:
            words += [f"--write_{kind}", *([f"all.{SUFFIXES[kind]}"] if self.shared else [])]
        if self.drawn:
            words += ["--write_video", *(["all.mp4"] if self.shared else [])]
        return words + (["--identification"] if self.ids else [])


ALL = [Asked(*row) for row in product(INPUTS, (True, False), (True, False), (True, False))]


def name(asked: Asked) -> str:
    shared, drawn, ids = (
        word if asked_for else ""
        for word, asked_for in (
            ("shared", asked.shared), ("drawn", asked.drawn), ("ids", asked.ids)
        )
    )  # fmt: skip
    return " ".join(filter(None, (asked.inputs, shared, drawn, ids)))


def frames_of(inputs: Sequence[str]) -> list[tuple[str, int]]:
    """(source, number) of every frame of the inputs."""
    return [(source, k) for source in inputs for k in range(CLIPS.get(source, 1))]


def groups(asked: Asked, inputs: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
    """The files that are to come, without their ends, and the inputs that each holds."""
    if asked.shared:
        yield Path("all"), inputs
        return
    pictures = [source for source in inputs if source in PICTURES]
    if pictures:
        yield Path("out/pictures"), pictures
    for source in inputs:
        if source in CLIPS:
            yield Path("out") / Path(source).stem, [source]


def check(asked: Asked, inputs: Sequence[str], lacking: Sequence[str] = ()) -> None:
    """What is in the files is what is in the inputs, but for those that are broken."""
    for stem, planned in groups(asked, inputs):
        held = [source for source in planned if source not in lacking]
        if not held:
            continue
        expected = frames_of(held)
        table = pd.read_csv(f"{stem}.csv")
        rows = table.groupby(["source", "frame"], sort=False).size()
        assert [*rows.index] == expected
        assert set(rows) == {PEOPLE * 18}
        assert table.id.isna().any() != asked.ids
        parquet = pd.read_parquet(f"{stem}.parquet")
        assert parquet.equals(table.astype(parquet.dtypes.to_dict()))
        lines = [json.loads(line) for line in Path(f"{stem}.jsonl").read_text().splitlines()]
        assert [(line["source"], line["frame"]) for line in lines] == expected
        assert {len(line["people"]) for line in lines} == {PEOPLE}
        coco = f"{stem}" if asked.shared else f"{stem}_coco"
        images = json.loads(Path(f"{coco}_images.json").read_text())
        assert [
            (image["file_name"], image.get("frame", 0)) for image in images["images"]
        ] == expected
        results = json.loads(Path(f"{coco}.json").read_text())
        assert len(results) == PEOPLE * len(expected)
        ids = {image["id"] for image in images["images"]}
        assert len(ids) == len(expected)
        assert {result["image_id"] for result in results} == ids
        if asked.drawn:
            check_video(Path(f"{stem}.mp4" if asked.shared else f"{stem}_rendered.mp4"), held)


def check_video(file: Path, held: Sequence[str]) -> None:
    """Each frame is drawn, and clips follow one another at their own pace."""
    expected: list[float] = []
    now = 0.0
    for source in held:
        step = 1 / RATE if source in CLIPS else 1 / 30
        expected += [now + k * step for k in range(CLIPS.get(source, 1))]
        now += CLIPS.get(source, 1) * step
    with av.open(str(file)) as container:
        frames = [*container.decode(video=0)]
    times = [frame.time for frame in frames]
    assert np.allclose(times, expected, atol=2e-3)
    for frame in frames:
        assert frame.to_ndarray(format="bgr24").max() > 60, "people are drawn"


def files() -> dict[str, int]:
    """All results, with a number that changes when one is written again."""
    return {str(p): p.stat().st_ino for p in Path().rglob("*.*") if p.parts[0] != "in"}


@pytest.mark.parametrize("asked", ALL, ids=name)
def test_each_frame_stands_once_in_its_files(asked: Asked) -> None:
    inputs = INPUTS[asked.inputs]
    assert infer.main(asked.words(inputs)) == 0
    check(asked, inputs)


@pytest.mark.parametrize("asked", ALL, ids=name)
def test_what_is_done_is_left_alone_and_what_lacks_an_input_is_made_anew(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = INPUTS[asked.inputs]
    assert infer.main(asked.words(inputs[:1])) == 0
    assert infer.main(asked.words(inputs, "--skip_existing")) == 0
    check(asked, inputs)
    before = files()
    capsys.readouterr()
    assert infer.main(asked.words(inputs, "--skip_existing")) == 0
    assert files() == before, "nothing is written twice"
    assert f"{len(inputs)} done before" in capsys.readouterr().out
    # Fewer inputs than the file holds need nothing either.
    assert infer.main(asked.words(inputs[-1:], "--skip_existing")) == 0
    assert files() == before


@pytest.mark.parametrize("place_of_it", ["first", "middle", "last"])
@pytest.mark.parametrize(
    "asked", [asked for asked in ALL if len(INPUTS[asked.inputs]) > 1], ids=name
)
def test_an_input_that_fails_costs_only_itself(
    asked: Asked, place_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = INPUTS[asked.inputs]
    broken = inputs[{"first": 0, "middle": len(inputs) // 2, "last": -1}[place_of_it]]
    whole = Path(broken).read_bytes()
    Path(broken).write_bytes(b"broken")
    assert infer.main(asked.words(inputs)) == 1
    assert f"{broken}: " in capsys.readouterr().err
    check(asked, inputs, lacking=[broken])
    # Mended, it is not taken for done.
    Path(broken).write_bytes(whole)
    assert infer.main(asked.words(inputs, "--skip_existing")) == 0
    check(asked, inputs)


@pytest.mark.parametrize("asked", [Asked("videos", True, True, False)], ids=name)
def test_a_video_of_another_size_is_fitted_into_the_first_ones(asked: Asked) -> None:
    write_clip(Path("in/b.mp4"), 3, (64, 64))
    inputs = INPUTS["videos"]
    with pytest.warns(SourceWarning, match="another size") as said:
        assert infer.main(asked.words(inputs)) == 0
    assert len(said) == 1
    check_video(Path("all.mp4"), inputs)
    assert pd.read_csv("all.csv").source.nunique() == 3


def test_files_of_frames_missing_beside_a_shared_file_bring_all_its_inputs_back() -> None:
    words = ["in/a.mp4", "in/b.mp4", "--write_csv", "all.csv", "--write_json", "j"]
    assert infer.main(words) == 0
    Path("j/b_000000000000_keypoints.json").unlink()
    assert infer.main([*words, "--skip_existing"]) == 0
    assert pd.read_csv("all.csv").source.nunique() == 2
    assert Path("j/b_000000000000_keypoints.json").exists()


def test_a_table_of_another_program_is_made_anew() -> None:
    Path("all.csv").write_text("not,ours\n1,2\n")
    words = ["in/a.mp4", "in/b.mp4", "--write_csv", "all.csv", "--skip_existing"]
    assert infer.main(words) == 0
    assert pd.read_csv("all.csv").source.nunique() == 2


def test_the_same_pictures_are_taken_by_a_second_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*PICTURES, "--frame_last", "1", "--write_txt", "out", "--skip_existing"]
    assert infer.main(words) == 0
    assert infer.main(words) == 0
    assert "0 pictures, 0 people, 0 failed, 2 done before" in capsys.readouterr().out
    assert sorted(p.name for p in Path("out").iterdir()) == ["p.txt", "q.txt"]


def test_openposes_json_shares_a_file_with_a_video() -> None:
    assert infer.main(["in/a.mp4", "--write_json", "j"]) == 0
    words = ["j", "in/b.mp4", "--write_csv", "all.csv", "--write_jsonl", "all.jsonl"]
    assert infer.main(words) == 0
    before = files()
    assert infer.main([*words, "--skip_existing"]) == 0
    assert files() == before
    assert {*pd.read_csv("all.csv").source} == {"j/a", "in/b.mp4"}
