"""Kill `infer` in the middle, again and again, and look at what it leaves.

    python bench/soak.py [--minutes 20] [--seed 1] [--video FILE] [infer's network flags]

Each round takes a fresh folder and a long video (a shorter one, repeated), and starts the command
with `--skip_existing`. After a random time it is killed with SIGKILL and started again; the last
start is left alone. In turn rounds write JSON for each frame, and all that a video gets by default.
After every kill and at the end it is checked that

- every file under its final name is whole: JSON parses, the table has only whole rows, the video
  can be decoded;
- what stood under its final name before is still there, byte for byte (a table or video that is
  done is not touched, JSON of a frame says the same);
- at the end there is every frame, and what it says is what an undisturbed run says.

Prints a line a round; stops with an AssertionError at the first fault. Without --video it takes
one of ../shared, or makes one up.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
KINDS = (["--write_json"], [])


def made_up(file: Path, frames: int = 60, size: tuple[int, int] = (160, 96)) -> Path:
    """A video of noise that moves."""
    noise = np.random.default_rng(1).integers(0, 255, (size[1], 2 * size[0], 3), np.uint8)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            picture = np.ascontiguousarray(noise[:, number : number + size[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    return file


def repeated(video: Path, file: Path, times: int) -> int:
    """Write a video that shows another several times; return how many frames it has.

    The packets are copied as they are, their times shifted.
    """
    frames = 0
    with av.open(str(file), "w") as target:
        out, shift = None, 0
        for _ in range(times):
            with av.open(str(video)) as source:
                stream = source.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                end = 0
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = out
                    target.mux(packet)
                    frames += 1
                shift += end
    return frames


def command(video: Path, out: Path, flags: list[str]) -> list[str]:
    words = [sys.executable, "-m", "openpose_ext.infer", video, "-o", out, "--skip_existing"]
    return [*map(str, words), *flags]


def run_round(
    video: Path, frames: int, out: Path, flags: list[str], kills: int, longest: float, seed: int
) -> int:
    """Kill the command several times, then let it end; return how many kills hit it alive."""
    chance = random.Random(seed)
    before: dict[str, bytes] = {}
    hits = 0
    for turn in range(kills + 1):
        process = subprocess.Popen(
            command(video, out, flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if turn < kills:
            try:
                process.wait(chance.uniform(0.3, longest))
            except subprocess.TimeoutExpired:
                process.kill()
                hits += 1
        said, complained = process.communicate()
        if turn == kills:
            assert process.returncode == 0, complained
            assert "0 failed" in said, said
        before = checked(out, before)
    stems = {name for name in before if name.endswith("_keypoints.json")}
    expected = {f"{video.stem}_{number:012d}_keypoints.json" for number in range(frames)}
    assert stems == expected, f"{len(expected - stems)} frames are missing"
    return hits


def checked(out: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """The files under their final names, each whole and as it was."""
    now = {}
    for file in out.iterdir() if out.is_dir() else ():
        if file.name.startswith("."):
            continue
        data = now[file.name] = file.read_bytes()
        if file.suffix == ".json":
            assert json.loads(data)["version"] == 1.3, file
        elif file.suffix == ".csv":
            rows = list(csv.reader(data.decode().splitlines()))
            assert len({len(row) for row in rows}) == 1, file
        elif file.suffix == ".mp4":
            with av.open(str(file)) as container:
                assert sum(1 for _ in container.decode(video=0)) > 0, file
        else:
            raise AssertionError(f"{file} should not be there")
    for name, data in before.items():
        assert now.get(name) == data, f"{name} was done, and is lost or changed"
    return now


def main() -> None:
    """Round after round until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--times", type=int, default=4, help="how often the video is repeated")
    parser.add_argument("--longest", type=float, default=12, help="seconds until a kill at most")
    arguments, flags = parser.parse_known_args()
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        short = arguments.video or SHARED / "data/videos/openpose_street.avi"
        if not short.exists():
            short = made_up(folder / "made_up.mp4")
        video = folder / "long.mkv"
        frames = repeated(short, video, arguments.times)
        undisturbed = folder / "undisturbed"
        subprocess.run(command(video, undisturbed, ["--write_json", *flags]), check=True)
        truth = checked(undisturbed, {})
        number = kills = 0
        while time.monotonic() < end:
            out = folder / f"round_{number}"
            kinds = KINDS[number % len(KINDS)]
            hits = run_round(
                video, frames, out, [*kinds, *flags], 4, arguments.longest, arguments.seed + number
            )
            found = checked(out, {})
            for name, data in truth.items():
                assert found[name] == data, f"{name} differs from an undisturbed run"
            number, kills = number + 1, kills + hits
            print(f"round {number}: {frames} frames, {hits} kills, all whole", flush=True)
            for file in out.iterdir():
                file.unlink()
    print(f"{number} rounds, {kills} kills: nothing half-written, nothing lost")


if __name__ == "__main__":
    main()
