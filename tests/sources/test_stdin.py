"""Standard input as an input, in processes of their own."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import videos

LIST = """
from openpose_ext.sources import open_source
with open_source({name!r}) as source:
    for frame in source:
        print(frame.source, frame.index, *frame.size, int(frame.image.mean()))
for error in source.errors:
    print("error:", error)
"""


def listed(data: bytes, name: str = "-") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIST.format(name=name)], input=data, capture_output=True
    )
    said = done.stderr.decode().strip().splitlines()
    return done.stdout.decode().splitlines() or said[-1:]


def encoded(suffix: str, value: int = 90) -> bytes:
    picture = np.full((40, 60, 3), value, np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_is_a_picture(name: str, suffix: str) -> None:
    assert listed(encoded(suffix), name) == ["/dev/stdin 0 60 40 90"]


def test_pictures_one_after_the_other_are_a_video() -> None:
    for suffix in (".jpg", ".png"):
        found = listed(b"".join(encoded(suffix, 40 * k) for k in range(1, 5)))
        assert [line.split()[1] for line in found] == ["0", "1", "2", "3"]
        assert [int(line.split()[4]) for line in found] == pytest.approx([40, 80, 120, 160], abs=1)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4", ".h264"])
def test_an_encoded_video_is_decoded_as_it_comes(tmp_path: Path, suffix: str) -> None:
    file = videos.write(tmp_path / f"a{suffix}", [videos.barred(k) for k in range(12)])
    found = listed(file.read_bytes())
    assert [line.split()[1] for line in found] == [*map(str, range(12))]


def test_a_redirected_file_is_one_too(tmp_path: Path) -> None:
    file = videos.write(tmp_path / "a.mp4", [videos.barred(k) for k in range(5)])
    with file.open("rb") as data:
        done = subprocess.run(
            [sys.executable, "-c", LIST.format(name="-")], stdin=data, capture_output=True
        )
    assert len(done.stdout.splitlines()) == 5


def test_frames_come_before_the_sender_has_ended(tmp_path: Path) -> None:
    pieces = videos.write(tmp_path / "a.ts", [videos.barred(k) for k in range(250)]).read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", LIST.format(name="-")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pieces)
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"/dev/stdin 0 ")
    process.stdin.close()
    assert len(process.stdout.read().splitlines()) == 249
    process.stdout.close()
    process.wait()


def test_an_animated_picture_gives_its_frames() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    frames = [image.new("RGB", (60, 40), (50 * k, 0, 0)) for k in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert len(listed(file.getvalue())) == 3


def test_nothing_and_nonsense_are_told() -> None:
    assert listed(b"") == ["error: /dev/stdin: the file is empty"]
    assert "/dev/stdin: damaged, or of a format that cannot be read" in listed(b"hello" * 999)[0]
