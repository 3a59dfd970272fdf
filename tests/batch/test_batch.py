"""The batch command, on a cluster of this machine."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

import videos

pytest.importorskip("ray", reason="Ray, an extra, is not installed")
pytest.importorskip("pyarrow", reason="pyarrow, an extra, is not installed")

import pyarrow.parquet as pq
import ray

import openpose_ext.batch
import ray_cluster as cluster
from failing_store import failing_store
from openpose_ext import infer
from openpose_ext.batch import command, main, places, worker
from openpose_ext.batch.inputs import BatchRequest, Failure, cut, units
from openpose_ext.batch.places import Place, steadily
from openpose_ext.batch.worker import Shards
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.errors import SourceError
from openpose_ext.sources.pictures import decode_picture
from openpose_ext.sources.source import View
from openpose_ext.sources.video import KeyFrame, Video, key_frames

QUICK = ("--height", "96", "--precision", "f32")

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 server on this machine; its address. Workers find it in their environment."""
    server = pytest.importorskip("moto.server", reason="moto, an S3 server, is not installed")
    pytest.importorskip("s3fs", reason="s3fs, the file system of s3://, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        yield f"http://{host}:{port}"
        running.stop()


@pytest.fixture(scope="module")
def ray_address(store: str) -> Iterator[str]:
    """A cluster of two cores, and what might be a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            object_store_memory=100 << 20,
            logging_level="ERROR",
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture(scope="module")
def people(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and a video, small."""
    folder = tmp_path_factory.mktemp("people")
    pictures = sorted((shared / "data/media").glob("*.jpg"))[:12]
    for number, file in enumerate(pictures):
        below = folder / f"day {number % 2}"
        below.mkdir(exist_ok=True)
        cv2.imwrite(
            os.fspath(below / file.name), cv2.resize(cv2.imread(os.fspath(file)), (240, 180))
        )
    looked = [cv2.resize(cv2.imread(os.fspath(file)), (160, 120)) for file in pictures]
    videos.write(folder / "walk.mp4", looked * 4, g="8", bf="2", **{"x264-params": "scenecut=0"})
    return folder


@pytest.fixture(scope="module")
def expected(people: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What the single-process command finds in it."""
    file = tmp_path_factory.mktemp("infer") / "all.parquet"
    assert infer.main([os.fspath(people), "--write_parquet", os.fspath(file), *QUICK]) == Exit.DONE
    return cluster.rows([file])


def run(*words: object) -> int:
    return main([*map(str, words), *QUICK])


def reasons(output: Path) -> dict[str, str]:
    table = pq.read_table(output / "errors.parquet").to_pydict()
    return dict(zip(table["source"], table["reason"], strict=True))


def assert_rows(output: Path, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(cluster.rows(cluster.shards(output)), expected, check_exact=True)


def test_media_and_videos_give_what_the_single_process_command_gives(
    shared: Path, ray_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [shared / "data/media", shared / "data/videos"]
    file = tmp_path / "all.parquet"
    assert infer.main([*map(str, inputs), "--write_parquet", str(file), *QUICK]) == Exit.DONE
    assert run(*inputs, "-o", tmp_path / "out", "--shard_frames", 100) == Exit.DONE
    assert_rows(tmp_path / "out", cluster.rows([file]))
    assert "25 inputs, 458 frames, " in capsys.readouterr().out


def test_a_second_run_changes_nothing(
    people: Path,
    expected: pd.DataFrame,
    ray_address: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (
        people,
        "-o",
        tmp_path / "out",
        "--shard_frames",
        16,
        "--write_json",
        tmp_path / "json",
    )
    assert run(*words) == Exit.DONE
    assert_rows(tmp_path / "out", expected)
    assert len(cluster.shards(tmp_path / "out")) == 2 + 3  # two folders; 48 frames
    before = cluster.content(tmp_path)
    assert run(*words) == Exit.DONE
    assert cluster.content(tmp_path) == before
    assert "60 frames (60 done before)" in capsys.readouterr().out


def test_json_is_that_of_the_single_process_command(
    people: Path, ray_address: str, tmp_path: Path
) -> None:
    assert infer.main([str(people), "--write_json", str(tmp_path / "single"), *QUICK]) == Exit.DONE
    run(people, "-o", tmp_path / "out", "--write_json", tmp_path / "json")
    written = {name: data for name, (_, data) in cluster.content(tmp_path / "json").items()}
    single = {name: data for name, (_, data) in cluster.content(tmp_path / "single").items()}
    assert len(single) == 60
    assert written == single


def test_a_killed_worker_s_work_is_done_again(
    people: Path, expected: pd.DataFrame, ray_address: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    driver = cluster.start(people, "-o", output, "--shard_frames", 2, "--ray", ray_address, *QUICK)
    cluster.until(lambda: cluster.shards(output), driver)
    (killed, *_) = cluster.workers()
    os.kill(killed, signal.SIGKILL)
    out, err = driver.communicate(timeout=cluster.PATIENCE)
    assert driver.returncode == Exit.DONE, err
    assert "13 inputs, 60 frames" in out  # "done before" where its shard was there already
    assert_rows(output, expected)


def test_a_killed_driver_s_work_goes_on_where_it_ended(
    people: Path, expected: pd.DataFrame, ray_address: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = (people, "-o", output, "--shard_frames", 2)
    driver = cluster.start(*words, "--ray", ray_address, *QUICK)
    cluster.until(lambda: len(cluster.shards(output)) > 1, driver)
    driver.kill()
    driver.communicate()
    before = {path.name: path.read_bytes() for path in cluster.shards(output)}
    assert not (output / "errors.parquet").exists()
    assert run(*words) == Exit.DONE
    after = {path.name: path.read_bytes() for path in cluster.shards(output)}
    assert len(before) < len(after)
    assert before.items() <= after.items()
    assert_rows(output, expected)


def test_bad_inputs_are_named_and_the_others_go_on(
    people: Path, expected: pd.DataFrame, ray_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(people, folder)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    whole = (people / "walk.mp4").read_bytes()
    (folder / "no_index.mp4").write_bytes(whole[: len(whole) // 2])
    videos.write(tmp_path / "long.mkv", videos.numbered(50), g="10")
    cut_off = (tmp_path / "long.mkv").read_bytes()
    (folder / "cut_off.mkv").write_bytes(cut_off[: len(cut_off) * 2 // 3])
    (tmp_path / "list.txt").write_text("gone.jpg\n")
    # Of a process that has ended but was not waited for, the system lists no networks to anyone.
    ended = subprocess.Popen(["true"])
    unreadable = f"/proc/{ended.pid}/net"
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    output = tmp_path / "out"
    try:
        code = run(folder, tmp_path / "list.txt", unreadable, "-o", output, "--shard_frames", 20)
    finally:
        ended.wait()
    assert code == Exit.SOME_FAILED
    found = reasons(output)
    assert found.keys() == {
        *(str(folder / name) for name in ("empty.jpg", "text.png", "no_index.mp4", "cut_off.mkv")),
        str(tmp_path / "gone.jpg"),
        unreadable,
    }
    assert found[str(folder / "empty.jpg")] == "the file is empty"
    assert "not a picture" in found[str(folder / "text.png")]
    assert "damaged" in found[str(folder / "no_index.mp4")]
    assert "ends early" in found[str(folder / "cut_off.mkv")]
    assert found[str(tmp_path / "gone.jpg")] == "No such file or directory"
    assert "cannot be listed" in found[unreadable]
    found_rows = cluster.rows(cluster.shards(output))
    copied = expected.assign(source=expected["source"].str.replace(str(people), str(folder)))
    good = found_rows[found_rows["source"] != str(folder / "cut_off.mkv")].reset_index(drop=True)
    pd.testing.assert_frame_equal(good, copied, check_exact=True)


def test_a_full_disk_ends_the_job_and_what_is_there_is_whole(
    people: Path, expected: pd.DataFrame, ray_address: str, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        words = (people, "-o", disk / "out", "--shard_frames", 4)
        assert run(*words) == Exit.OUTPUT
        cluster.rows(cluster.shards(disk / "out"))
        assert not [name for name in os.listdir(disk / "out/shards") if name.endswith(".part")]
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert run(*words) == Exit.DONE
        assert_rows(disk / "out", expected)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_object_store_gives_pictures_and_videos_and_takes_shards(
    people: Path, expected: pd.DataFrame, ray_address: str, store: str, tmp_path: Path
) -> None:
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False)
    system.mkdir("s3://lab")
    for file in people.rglob("*.*"):
        system.put_file(str(file), f"lab/in/{file.relative_to(people)}")
    system.pipe_file("lab/in/broken.png", b"no picture")
    words = ("s3://lab/in", "-o", "s3://lab/out", "--shard_frames", 16)
    assert run(*words, "--write_json", "s3://lab/json") == Exit.SOME_FAILED
    found = cluster.rows([system.open(path) for path in system.ls("lab/out/shards")])
    found["source"] = found["source"].str.replace("s3://lab/in", str(people))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    failed = pq.read_table(system.open("lab/out/errors.parquet")).to_pydict()
    assert failed["source"] == ["s3://lab/in/broken.png"]
    assert len(system.find("lab/json")) == 60
    before = system.find("lab", detail=True)
    assert run(*words, "--write_json", "s3://lab/json") == Exit.SOME_FAILED
    assert {k: v["LastModified"] for k, v in system.find("lab", detail=True).items()} == {
        k: v["LastModified"] for k, v in before.items()
    }


# Every Python with its folder in PYTHONPATH runs it: who decodes a picture that ends in "fatal" is
# killed, as by a decoder's fault or for its memory.
FATAL = """
import os, signal
import cv2

decode = cv2.imdecodeWithMetadata

def fatal(data, *words, **more):
    if data[-5:].tobytes() == b"fatal":
        with open(os.environ["DEATHS"], "a") as file:
            file.write(f"{os.getpid()}\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(data, *words, **more)

cv2.imdecodeWithMetadata = fatal
"""


@pytest.mark.slow
def test_killed_workers_a_failing_store_and_a_cut_shard_change_no_row(
    people: Path, expected: pd.DataFrame, ray_address: str, store: str, tmp_path: Path
) -> None:
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False)
    system.mkdir("s3://ward")
    for file in people.rglob("*.*"):
        system.put_file(str(file), f"ward/in/{file.relative_to(people)}")
    (picture, *_) = sorted(people.rglob("*.jpg"))
    killer = f"s3://ward/in/{picture.parent.name}/killer.jpg"
    system.pipe_file(killer, picture.read_bytes() + b"fatal")
    words = ("s3://ward/in", "-o", "s3://ward/out", "--shard_frames", 8)

    def rows_and_shards() -> tuple[pd.DataFrame, dict[str, bytes]]:
        shards = {path: system.cat_file(path) for path in system.ls("ward/out/shards")}
        found = cluster.rows([io.BytesIO(shard) for shard in shards.values()])
        return found, shards

    assert run(*words) == Exit.DONE  # fatal to nobody yet
    undisturbed, shards = rows_and_shards()
    (cut_short, *others) = sorted(shards, key=lambda path: b"walk.mp4" not in shards[path])
    system.pipe_file(cut_short, shards[cut_short][:-100])
    system.rm(others)

    (tmp_path / "sitecustomize.py").write_text(FATAL)
    deaths = tmp_path / "deaths"
    with failing_store(store) as failing:
        driver = cluster.start(
            *(*words, *QUICK),
            AWS_ENDPOINT_URL=failing.address,
            AWS_MAX_ATTEMPTS="1",  # no second try of Amazon's own library
            DEATHS=str(deaths),
            PYTHONPATH=str(tmp_path),
        )
        _, err = driver.communicate(timeout=cluster.PATIENCE)
    assert driver.returncode == Exit.SOME_FAILED, err
    assert failing.failed > 0.1, failing.ended
    assert f"s3://{cut_short} is damaged" in err
    assert len(deaths.read_text().splitlines()) == 3
    failed = pq.read_table(system.open("ward/out/errors.parquet")).to_pydict()
    reason = "3 workers died while processing it; left out"
    assert failed == {"source": [killer], "reason": [reason]}
    found, again = rows_and_shards()
    assert again[cut_short] == shards[cut_short]
    undisturbed = undisturbed[undisturbed["source"] != killer].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, undisturbed, check_exact=True)
    found["source"] = found["source"].str.replace("s3://ward/in", str(people))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_bucket_that_does_not_exist_is_an_error_of_its_input(store: str, tmp_path: Path) -> None:
    (unit,) = units(job(tmp_path, "s3://nowhere/pictures"))
    assert unit.failure is not None
    assert unit.failure.source == "s3://nowhere/pictures"


def test_workers_get_gpus_when_asked(people: Path, ray_address: str, tmp_path: Path) -> None:
    words = (people / "day 0", "-o", tmp_path / "out", "--workers", 2, "--worker_gpus", 0.5)
    assert run(*words) == Exit.USAGE  # nothing would run there
    assert run(*words, "--device", "CPU") == Exit.DONE


def test_the_example_for_pipelines_runs(people: Path, ray_address: str, tmp_path: Path) -> None:
    text = openpose_ext.batch.__doc__ or ""
    example = dedent(text[text.index("    import ray") :])
    assert len([line for line in example.splitlines() if line]) <= 12
    # Workers stand in a folder of their own.
    example = example.replace('"photos"', repr(str(people / "day 0")))
    example = example.replace('"people"', repr(str(tmp_path / "people")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        exec(example, {})
    table = cluster.rows(sorted((tmp_path / "people").glob("*.parquet")))
    single = tmp_path / "single.parquet"
    infer.main([str(people / "day 0"), "--write_parquet", str(single), "--height", "256"])
    reference = cluster.rows([single])
    # Pillow decodes JPEG a little differently from OpenCV.
    assert set(table["source"]) == set(reference["source"])
    assert abs(len(table) - len(reference)) <= 0.05 * len(reference)


def test_other_inputs_or_options_do_not_go_to_the_same_output(
    people: Path, ray_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(people / "day 0", "-o", output) == Exit.DONE
    assert run(people / "day 1", "-o", output) == Exit.USAGE
    assert run(people / "day 0", "-o", output, "--mirror") == Exit.USAGE
    assert "results of another command" in capsys.readouterr().err


def test_inputs_that_changed_replace_their_shards(
    people: Path, ray_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(people / "day 0", folder)
    assert run(folder, "-o", tmp_path / "out") == Exit.DONE
    (gone, *_) = sorted(folder.iterdir())
    gone.unlink()
    assert run(folder, "-o", tmp_path / "out") == Exit.DONE
    single = tmp_path / "single.parquet"
    infer.main([str(folder), "--write_parquet", str(single), *QUICK])
    assert_rows(tmp_path / "out", cluster.rows([single]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gone.jpg",), "nothing matches the input 'gone.jpg'"),
        ((".", "--body", "none"), "a body network is needed"),
        ((".", "--detect_every", "5", "--mode", "reference"), "needs whole frames"),
        ((".", "--body", "no_such_network"), "no_such_network"),
    ],
)
def test_what_cannot_be_is_refused(
    words: tuple[str, ...],
    said: str,
    people: Path,
    ray_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(people)
    assert run(*words, "-o", tmp_path / "out") in (Exit.USAGE, Exit.MODEL)
    assert said in capsys.readouterr().err


# The stages, without a cluster.


def job(output: Path, *inputs: object, frames: int = 10, json: Path | None = None) -> BatchRequest:
    network = {"body": "lite", "height": 64, "precision": "f32"}
    return BatchRequest(tuple(map(str, inputs)), str(output), network, frames, json and str(json))


def test_units_hold_each_picture_once_and_of_one_folder(tmp_path: Path) -> None:
    for name in (
        "a/1.png",
        "a/2.png",
        "a/3.png",
        "b/1.png",
        "b/c/1.jpg",
        ".hidden/1.png",
        "b/x.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("a/1.png\nb/1.png\nb/1.png\n")
    asked = job(tmp_path / "out", tmp_path, tmp_path / "list.txt", tmp_path / "a/*.png", frames=2)
    found = [
        [Path(item.name).relative_to(tmp_path) for item in unit.items] for unit in units(asked)
    ]
    assert found == [
        [Path("a/1.png"), Path("a/2.png")],
        [Path("a/3.png")],
        [Path("b/1.png")],
        [Path("b/c/1.jpg")],
    ]


def test_results_of_files_that_differ_in_their_suffix_have_names_of_their_own(
    tmp_path: Path,
) -> None:
    for name in ("x/in/a.jpg", "x/in/a.png", "y/in/a.jpg", "y/in/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    asked = job(tmp_path / "out", tmp_path / "x/in", tmp_path / "y/in", json=tmp_path / "json")
    names = [item.outputs for unit in units(asked) for item in unit.items]
    assert names == ["a", "a.png", "a.jpg", "in/a.png"]


def test_a_unit_s_shard_changes_with_what_is_asked_and_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"1")

    def shard(**changed: object) -> str:
        asked = job(tmp_path / "out", tmp_path)
        (unit,) = units(asked)
        return unit.shard(BatchRequest(**{**vars(asked), **changed}))

    first = shard()
    assert shard() == first
    assert shard(network={"body": "lite", "height": 65}) != first
    file.write_bytes(b"22")
    assert shard() != first


@pytest.mark.parametrize("options", [{}, {"bf": "3"}, {"x264-params": "open-gop=1:bframes=3"}])
def test_a_video_in_pieces_has_the_frames_of_the_whole(
    options: dict[str, str], tmp_path: Path
) -> None:
    file = videos.write(tmp_path / "v.mkv", videos.numbered(100), g="12", **options)
    with Video(file) as whole:
        frames = {frame.index: (frame.time, frame.image) for frame in whole}
    (unit,) = units(job(tmp_path / "out", file))
    pieces = list(cut(unit, 20))
    assert len(pieces) > 2
    numbers = []
    for piece in pieces:
        view = View(first=piece.start.number if piece.start else 0, last=piece.last)
        with Video(file, view=view, start=piece.start) as part:
            for frame in part:
                numbers.append(frame.index)
                assert frame.time == frames[frame.index][0]
                assert np.array_equal(frame.image, frames[frame.index][1])
            assert not part.errors
    assert numbers == list(range(100))


def test_key_frames_are_those_that_the_decoder_knows(tmp_path: Path) -> None:
    file = videos.write(tmp_path / "v.mp4", videos.numbered(60), g="10", bf="2", sc_threshold="0")
    import av

    with av.open(str(file)) as container:
        decoded = list(container.decode(video=0))
    keys = [number for number, frame in enumerate(decoded) if frame.key_frame and number]
    assert [key.number for key in key_frames(str(file), 1)] == keys
    assert [key.time for key in key_frames(str(file), 1)] == [decoded[n].pts for n in keys]
    assert [key.number for key in key_frames(str(file), 25)] == [30]


def test_a_video_that_changed_since_it_was_cut_is_an_error(tmp_path: Path) -> None:
    file = videos.write(tmp_path / "v.mp4", videos.numbered(60), g="10", sc_threshold="0")
    with pytest.raises(SourceError, match="the first frame asked for"):
        Video(file, view=View(first=20, last=21), start=KeyFrame(20, 1 << 40))


def test_regions_of_a_video_are_those_of_the_single_process_command(
    people: Path, tmp_path: Path
) -> None:
    video, file = people / "walk.mp4", tmp_path / "all.parquet"
    words = [str(video), "--write_parquet", str(file), *QUICK, "--detect_every", "6"]
    assert infer.main(words) == Exit.DONE
    network = {"body": "lite", "height": 96, "precision": "f32"}
    asked = replace(job(tmp_path / "out", video, frames=100), network=network, detect_every=6)
    (unit,) = units(asked)
    assert Shards(asked, threads=2)(unit).frames == 48
    assert_rows(tmp_path / "out", cluster.rows([file]))
    assert unit.shard(asked) != unit.shard(replace(asked, detect_every=1))


@pytest.mark.parametrize("every", [1, 3])
def test_every_frame_of_animated_pictures_is_looked_at(
    people: Path, tmp_path: Path, every: int
) -> None:
    """In folders and in object stores, where nothing but the content tells what moves."""
    image = pytest.importorskip("PIL.Image")
    given = tmp_path / "in"
    given.mkdir()
    pictures = [image.open(file) for file in sorted((people / "day 0").iterdir())[:4]]
    for name in ("a.gif", "b.png", "c.webp"):
        more = {"append_images": pictures[1:], "duration": [100, 50, 100, 70]}
        pictures[0].save(given / name, save_all=True, **more)
    pictures[0].save(given / "d.png")
    (given / "e.gif").write_bytes((given / "a.gif").read_bytes()[:-9000])
    words = [str(given), *QUICK, "--detect_every", str(every)]
    told = ["--write_parquet", str(tmp_path / "all.parquet"), "--write_json", str(tmp_path / "one")]
    assert infer.main([*words, *told]) == Exit.SOME_FAILED
    network = {"body": "lite", "height": 96, "precision": "f32"}
    stored = f"memory://{tmp_path.name}"
    for file in given.iterdir():
        places.Place(stored).put(file.name, file.read_bytes())
    for source in (str(given), stored):
        output = tmp_path / f"out {source == stored}"
        asked = job(output, source, frames=100, json=output / "json")
        asked = replace(asked, network=network, detect_every=every)
        (unit,) = units(asked)
        done = Shards(asked, threads=2)(unit)
        assert done.inputs == 5
        assert [Path(error.source).name for error in done.errors] == ["e.gif"]
        found = cluster.rows(cluster.shards(output))
        expected = cluster.rows([tmp_path / "all.parquet"])
        for table in (found, expected):
            table["source"] = table.source.map(os.path.basename)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        written = {file.name: file.read_bytes() for file in (output / "json").iterdir()}
        assert written == {f.name: f.read_bytes() for f in (tmp_path / "one").iterdir()}


def test_a_unit_is_done_once(people: Path, tmp_path: Path) -> None:
    asked = job(tmp_path / "out", people / "day 0", frames=100)
    (unit,) = units(asked)
    work = Shards(asked)
    first, second = work(unit), work(unit)
    assert not first.done
    assert second.done
    assert (first.frames, first.people, first.errors) == (second.frames, second.people, ())
    assert second.frames == 6


class Death(BaseException):
    """In place of a crash: nothing catches it, and nothing is done after it."""


def deadly(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let workers die at a picture; the pictures that were looked at."""
    looked: list[str] = []

    def decoded(data: bytes, source: str) -> np.ndarray:
        looked.append(os.path.basename(source))
        if source.endswith(name):
            raise Death
        return decode_picture(data, source)

    monkeypatch.setattr(worker, "decode_picture", decoded)
    return looked


def test_a_picture_that_kills_three_workers_is_left_out_and_named(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(job(tmp_path / "out", people / "day 0", frames=100), run="a")
    (unit,) = units(asked)
    undisturbed = replace(asked, output=str(tmp_path / "undisturbed"))
    Shards(undisturbed)(unit)
    killer = unit.items[2].name
    looked = deadly(monkeypatch, killer)
    for _ in range(3):
        with pytest.raises(Death):
            Shards(asked)(unit)
    assert looked.count(os.path.basename(killer)) == 3
    outcome = Shards(asked)(unit)
    assert looked.count(os.path.basename(killer)) == 3  # not once more
    assert outcome.errors == (Failure(killer, "3 workers died while processing it; left out"),)
    expected = cluster.rows(cluster.shards(tmp_path / "undisturbed"))
    expected = expected[expected["source"] != killer].reset_index(drop=True)
    assert_rows(tmp_path / "out", expected)
    assert [file.suffix for file in (tmp_path / "out/shards").iterdir()] == [".parquet"]


def test_a_run_that_was_ended_from_outside_blames_no_picture(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(tmp_path / "out", people / "day 0", frames=100)
    (unit,) = units(asked)
    with monkeypatch.context() as patch:
        deadly(patch, unit.items[0].name)
        for run in "abcd":
            with pytest.raises(Death):
                Shards(replace(asked, run=run))(unit)
    assert Shards(replace(asked, run="e"))(unit).errors == ()


def test_workers_that_die_before_they_look_at_anything_end_the_job(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(**network: object) -> None:
        raise Death

    asked = replace(job(tmp_path / "out", people / "day 0"), run="a")
    (unit,) = units(asked)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "PoseEstimator", dies)
        for _ in range(3):
            with pytest.raises(Death):
                Shards(asked)(unit)
        fatal = Shards(asked)(unit).fatal
    assert fatal is not None
    assert fatal[0] == "BackendError"
    assert "3 workers died before their first picture" in fatal[1]


def test_a_video_that_kills_three_workers_is_left_out_from_frame_to_frame(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Death

    asked = replace(job(tmp_path / "out", people / "walk.mp4", frames=16), run="a")
    part = [part for unit in units(asked) for part in cut(unit, 16)][1]
    with monkeypatch.context() as patch:
        patch.setattr(worker, "Video", dies)
        for _ in range(3):
            with pytest.raises(Death):
                Shards(asked)(part)
        (failure,) = Shards(asked)(part).errors
    assert failure.source == str(people / "walk.mp4")
    assert failure.reason == ("3 workers died while processing it; left out from frame 16 to 31")


@pytest.mark.parametrize("damage", ["cut", "bits"])
def test_a_damaged_shard_is_named_and_done_again(damage: str, people: Path, tmp_path: Path) -> None:
    asked = job(tmp_path / "out", people / "day 0", frames=100)
    (unit,) = units(asked)
    Shards(asked)(unit)
    (shard,) = cluster.shards(tmp_path / "out")
    whole = shard.read_bytes()
    middle = len(whole) // 8
    flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 40])
    shard.write_bytes(whole[:-100] if damage == "cut" else flipped + whole[middle + 40 :])
    outcome = Shards(asked)(unit)
    assert not outcome.done
    assert outcome.note.startswith(f"{tmp_path / 'out'}/shards/{shard.name} is damaged (")
    assert "\n" not in outcome.note
    assert shard.read_bytes() == whole
    again = Shards(asked)(unit)
    assert (again.done, again.note) == (True, "")


def test_a_damaged_claim_is_named_and_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, asked = Place(str(tmp_path)), job(tmp_path, "photos")
    command._claim(place, asked)
    (tmp_path / "job.json").write_bytes(asked.claim()[:20])
    command._claim(place, asked)
    assert capsys.readouterr().err == (
        f"openpose-ext: {tmp_path}/job.json is damaged; written again\n"
    )
    assert (tmp_path / "job.json").read_bytes() == asked.claim()


def test_a_store_is_asked_again_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("openpose_ext.batch.places.time.sleep", waits.append)
    answers = iter([OSError("reset"), ConnectionError("gone"), b"data"])

    def ask() -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert steadily(ask) == b"data"
    assert len(waits) == 2
    tries: list[int] = []

    def fails() -> None:
        tries.append(1)
        raise TimeoutError("no answer")

    with pytest.raises(TimeoutError, match="no answer"):
        steadily(fails)
    assert len(tries) == 6
    assert 0.1 <= waits[2] < waits[-1] <= 5

    def gone() -> None:
        tries.append(1)
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        steadily(gone)
    assert len(tries) == 7  # that is an answer


def test_a_video_of_a_store_is_read_on_where_a_request_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = videos.write(tmp_path / "v.mp4", videos.numbered(40), g="10")
    asked = 0

    class Failing(io.BytesIO):
        often = 2

        def read(self, size: int | None = -1) -> bytes:
            nonlocal asked
            asked += 1
            if asked % self.often == 0:
                super().read(100)  # wherever it stands then
                raise RuntimeError("no answer")
            return super().read(size)

    system = SimpleNamespace(open=lambda path, mode: Failing(file.read_bytes()))
    monkeypatch.setattr(places, "resolved", lambda address: (system, address))
    monkeypatch.setattr("openpose_ext.batch.places.time.sleep", lambda seconds: None)

    def numbers() -> list[np.ndarray]:
        opened = partial(places.open_address, "s3://lab/v.mp4")
        with Video("s3://lab/v.mp4", opened=opened) as video:
            return [frame.image for frame in video]

    with Video(file) as whole:
        assert np.array_equal(numbers(), [frame.image for frame in whole])
    assert asked > 2
    Failing.often = 1
    with pytest.raises(SourceError, match=r"s3://lab/v\.mp4: no answer"):
        numbers()


def test_a_folder_is_a_place_and_files_in_it_are_whole(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "new"))
    assert place.get("a/b") is None
    assert place.names("a") == []
    place.put("a/b", b"1")
    place.put("a/b", b"2")
    assert place.get("a/b") == b"2"
    assert place.names("a") == ["b"]
    place.remove("a/b")
    assert place.names("a") == []


@pytest.mark.slow
def test_the_driver_s_memory_does_not_grow_with_the_inputs(tmp_path: Path) -> None:
    """40,000 pictures take of the driver what 1,000 do, but for what Ray notes of its blocks."""
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.full((8, 8, 3), 128, np.uint8))
    peaks = []
    for count in (1_000, 40_000):
        folder = tmp_path / str(count)
        for number in range(count):
            below = folder / str(number // 1000)
            if number % 1000 == 0:
                below.mkdir(parents=True)
            (below / f"{number}.png").symlink_to(small)
        script = (
            "import resource, sys; from openpose_ext.batch import main; code = main(sys.argv[1:]); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), "-o", str(folder / "out"), "--height", "8"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"{count} inputs, {count} frames" in done.stdout
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    print(f"driver: {peaks[0]:.0f} and {peaks[1]:.0f} MB")
    assert peaks[1] - peaks[0] < 12
