"""End `infer` in the middle, again and again, and look at what it leaves.

    python bench/soak.py [--kills 100] [--seed 1] [--signal KILL TERM INT] [infer's flags]

Each round takes a fresh folder, six pictures and two videos, and starts the command with
`--skip_existing` and most kinds of results. After a random time it gets SIGKILL, SIGTERM or SIGINT,
in turn, and is started again and left alone. It is checked that

- after any signal every file under its final name is whole: JSON parses, tables and JSON lines have
  only whole rows, pictures and videos can be decoded;
- after SIGTERM and SIGINT the exit code is 143 or 130, nothing aborts and nobody sees a traceback,
  no hidden file is left, and every frame that has its JSON has its line and its picture in the
  files of many frames;
- the next run gives what an undisturbed run gives, byte for byte (drawn videos frame for frame),
  and no other file is left.

Prints a line a signal and their sum; stops with an AssertionError at the first fault.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import matplotlib
import numpy as np

FLAGS = (
    "--write_json", "--write_images", "--write_txt", "--write_csv", "--write_jsonl",
    "--write_video", "--skip_existing", "--height", "96",
)  # fmt: skip
FRAMES = 40
CODES = {"KILL": -9, "TERM": 143, "INT": 130}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said on stderr."""

    code: int
    said: str


def made_up(folder: Path, size: tuple[int, int] = (160, 192)) -> Path:
    """Pictures and videos of a woman past whom the camera moves."""
    found = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    assert found is not None
    wide = cv2.resize(found, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(wide, 0, 0, FRAMES, FRAMES, cv2.BORDER_REPLICATE)
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(os.fspath(folder / f"picture{number}.png"), wide[:, 6 * number :][:, : size[0]])
    for name in ("a.mp4", "b.mkv"):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(FRAMES):
                picture = np.ascontiguousarray(wide[:, number : number + size[0]], np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
            container.mux(stream.encode())
    return folder


def run(
    inputs: Path, out: Path, flags: list[str], after: float | None = None, by: str = ""
) -> Ended:
    """Run the command; after so many seconds it gets a signal."""
    words = [sys.executable, "-m", "openpose_ext.infer", inputs, "-o", out, *FLAGS, *flags]
    process = subprocess.Popen(
        [*map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    if after is not None:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.Signals[f"SIG{by}"])
    said = process.communicate()[1]
    return Ended(process.returncode, said)


def contents(out: Path) -> dict[str, object]:
    """The files under their final names, each checked to be whole; of a video its frames."""
    found: dict[str, object] = {}
    for file in sorted(out.iterdir()) if out.is_dir() else ():
        if file.name.startswith("."):
            continue
        data = file.read_bytes()
        found[file.name] = data
        match file.suffix:
            case ".json":
                assert json.loads(data)["version"] == 1.3, file
            case ".png":
                assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None, (
                    file
                )
            case ".csv":
                rows = [*csv.reader(data.decode().splitlines())]
                assert data.endswith(b"\n"), file
                assert len({len(row) for row in rows}) == 1, file
            case ".jsonl":
                assert all(json.loads(line) for line in data.splitlines()), file
            case ".mp4":
                found[file.name] = shown(file)
            case ".txt":
                assert data.startswith(b"# openpose_ext 1 "), file
            case _:
                raise AssertionError(f"{file} should not be there")
    return found


def shown(video: Path) -> list[bytes]:
    """The frames of a video."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="gray").tobytes() for frame in container.decode(video=0)]


def checked_ending(ended: Ended, by: str) -> str:
    """How it ended, in a word, which is as it should be."""
    if ended.code == 0:
        return "done before"
    if by != "KILL":
        if "Traceback" in ended.said and "/openpose_ext/" not in ended.said:
            return "before it was loaded"  # the interpreter's own start
        assert "Traceback" not in ended.said, ended.said
        assert "terminate called" not in ended.said, ended.said
        # Before the command has begun a signal does what it always does.
        loading = ended.code == -signal.Signals[f"SIG{by}"] and not ended.said
        assert loading or ended.code == CODES[by], ended
    return "killed" if by == "KILL" else "ended"


def check_finished_frames(out: Path, found: dict[str, object]) -> None:
    """After a signal that lets it finish: what has its JSON is in the files of many frames."""
    assert not [file for file in out.iterdir() if file.name.startswith(".")], "hidden files"
    for stem in ("a", "b"):
        frames = {name for name in found if name.startswith(f"{stem}_0") and "keypoints" in name}
        lines = found.get(f"{stem}.jsonl", found.get(f"{stem}.unfinished.jsonl"))
        if not frames:
            continue
        assert isinstance(lines, bytes), f"{stem}.jsonl is missing"
        numbers = {json.loads(line)["frame"] for line in lines.splitlines()}
        missing = {name for name in frames if int(name.split("_")[1]) not in numbers}
        assert not missing, f"{missing} are not in {stem}.jsonl"
        name = f"{stem}_rendered"
        drawn = found.get(f"{name}.mp4", found.get(f"{name}.unfinished.mp4"))
        assert isinstance(drawn, list), f"{stem}_rendered.mp4 is missing"
        assert len(drawn) == len(numbers), f"{stem}_rendered.mp4"


def run_round(
    inputs: Path,
    out: Path,
    truth: dict[str, object],
    by: str,
    after: float,
    flags: list[str],
) -> str:
    """A run that gets a signal, and one that is left alone; how the first ended."""
    ended = run(inputs, out, flags, after, by)
    found = contents(out)
    how = checked_ending(ended, by)
    if how == "ended" and out.is_dir():
        try:
            check_finished_frames(out, found)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{ended}\n{sorted(os.listdir(out))}") from error
    again = run(inputs, out, flags)
    assert again.code == 0, again
    now = contents(out)
    assert now.keys() == truth.keys(), now.keys() ^ truth.keys()
    for name, content in truth.items():
        assert now[name] == content, f"{name} differs from an undisturbed run"
    left = {file.name for file in out.iterdir()} - now.keys()
    assert not left, f"{left} are left over"
    return how


def main() -> None:
    """Round after round, in a fresh folder each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signal", nargs="*", default=[*CODES], choices=[*CODES])
    arguments, flags = parser.parse_known_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        inputs = made_up(folder / "in")
        run(inputs, folder / "first", flags)  # fills the caches
        begun = time.monotonic()
        ended = run(inputs, folder / "undisturbed", flags)
        assert ended.code == 0, ended.said
        longest = time.monotonic() - begun
        truth = contents(folder / "undisturbed")
        counts: Counter[tuple[str, str]] = Counter()
        for number in range(arguments.kills):
            by = arguments.signal[number % len(arguments.signal)]
            after = chance.uniform(0, longest)
            out = folder / f"round{number}"
            how = run_round(inputs, out, truth, by, after, flags)
            counts[by, how] += 1
            print(f"{number + 1}: {by} after {after:.2f} s: {how}", flush=True)
            for file in out.iterdir():
                file.unlink()
    for (by, how), count in sorted(counts.items()):
        print(f"{by} {how}: {count}")


if __name__ == "__main__":
    main()
