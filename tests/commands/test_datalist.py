"""The command `python -m openpose_ext.datalist`: inputs for vamp, and the way back from them."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from openpose_ext import datalist
from openpose_ext.errors import SourceError
from openpose_ext.io.vamp_files import read_datalist, read_input, read_outputs
from openpose_ext.stages.preprocess import PADDING
from openpose_ext.vastai.datalist import placed

# (width, height): wide, tall, odd, and one pixel.
SIZES = {"a.png": (64, 40), "deep/b.png": (30, 90), "c.d.png": (31, 17), "e.png": (1, 1)}


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for name, size in SIZES.items():
        assert cv2.imwrite(str(folder / name), noise(*size))
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object, expected: int = 0) -> Any:
    assert datalist.main([str(word) for word in words]) == expected
    return capsys.readouterr()


def inputs(folder: Path) -> dict[str, np.ndarray]:
    """What stands in the list, by name below the folder, in its order."""
    text = (folder / "datalist.txt").read_text()
    assert text.endswith("\n")
    found = {}
    for line in text.splitlines():
        assert os.path.isabs(line)
        with np.load(line) as archive:
            assert archive.files == ["input_0"]
            found[os.path.relpath(line, folder)] = archive["input_0"]
    return found


def test_padded_inputs_have_the_networks_size_and_the_pictures_aspect_ratio(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = run(capsys, "--images", images, "--size", 48, 32, "-o", out)
    assert said.out == f"4 inputs, 0 failed: {out}/datalist.txt\n"
    found = inputs(out)
    assert [*found] == ["a.npz", "c.d.npz", "deep/b.npz", "e.npz"], "in the order of their paths"
    for array in found.values():
        assert (array.dtype, array.shape) == (np.uint8, (3, 32, 48))
    tall = found["deep/b.npz"]
    content = cv2.resize(noise(30, 90), (11, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(tall[:, :, :11], content[..., ::-1].transpose(2, 0, 1)), "RGB planes"
    assert (tall[:, :, 11:] == PADDING).all()


def test_stretched_inputs_are_whole_pictures_of_even_sides(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "--images", images, "--size", 48, 32, "--fit", "stretch", "-o", tmp_path / "out")
    found = inputs(tmp_path / "out")
    assert [array.shape for array in found.values()] == [
        (3, 40, 64), (3, 16, 30), (3, 90, 30), (3, 2, 2),
    ]  # fmt: skip
    assert np.array_equal(found["a.npz"], noise(64, 40)[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_what_is_written_beside_the_list_leads_back(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fit: str
) -> None:
    """The corners of the content are the corners of the picture, half a pixel out."""
    run(capsys, "--images", images, "--size", 48, 32, "--fit", fit, "-o", tmp_path)
    places = placed(tmp_path / "datalist.txt")
    assert [place.name for place in places] == sorted(SIZES)
    for place in places:
        assert place.picture == SIZES[place.name]
        geometry = place.geometry((6, 4))
        assert (geometry.network, geometry.stride) == ((48, 32), 8)
        corners = np.array([[0, 0], geometry.content]) - 0.5
        expected = np.array([[0, 0], place.picture]) - 0.5
        np.testing.assert_allclose(geometry.to_picture(corners), expected, atol=1e-4)
        assert fit == "pad" or geometry.content == (48, 32)
    with pytest.raises(ValueError, match="maps of 5 x 4 cells do not fit an input of 48 x 32"):
        places[0].geometry((5, 4))


def test_a_list_of_the_zoos_scripts_is_of_whole_pictures(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", input_0=np.zeros((3, 40, 60), np.uint8))
    (tmp_path / "list.txt").write_text(f"\n{tmp_path / 'one.npz'}\r\n")
    (place,) = placed(tmp_path / "list.txt")
    assert (place.name, place.picture) == ("one", (60, 40))
    geometry = place.geometry((23, 23))
    assert geometry.network == geometry.content == (184, 184)
    assert geometry.factor == (184 / 60, 184 / 40)


def test_pictures_that_cannot_be_read_are_named_and_left_out(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.png").write_bytes(b"text")
    (images / "line\nbreak.png").write_bytes((images / "e.png").read_bytes())
    said = run(capsys, "--images", images, "--size", 48, 32, "-o", tmp_path / "out", expected=1)
    assert "a.png: not a picture" in said.err
    assert "a datalist cannot contain names with a line break" in said.err
    assert said.out.startswith("3 inputs, 2 failed")
    assert [*inputs(tmp_path / "out")] == ["c.d.npz", "deep/b.npz", "e.npz"]


def test_names_that_are_no_text_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(cv2.imencode(".png", noise(8, 8))[1].tobytes())
    run(capsys, "--images", tmp_path / "in", "--size", 8, 8, "-o", tmp_path / "out")
    (place,) = placed(tmp_path / "out" / "datalist.txt")
    assert place.name == name
    (path,) = read_datalist(tmp_path / "out" / "datalist.txt")
    assert np.array_equal(read_input(path), noise(8, 8))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--size", "8", "8", "-o", "out"], "--images DIR, --size W H and -o OUT are needed"),
        (["--images", "in", "--size", "8", "8"], "are needed"),
        (["--images", "none", "--size", "8", "8", "-o", "out"], "--images none is not a folder"),
        (["--images", "in", "--size", "8", "8", "-o", "out"], "holds no pictures"),
        (["--images", "in", "--size", "8", "9", "-o", "out"], "--size 8 9: a card's images have"),
        (["--images", "in", "--size", "8", "0", "-o", "out"], "'0' is not a whole number above 0"),
        (["--images", "in", "--sise", "8", "8", "-o", "out"], "did you mean --size?"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("in")
    assert reason in run(capsys, *words, expected=2).err
    assert not os.path.exists("out")


# Files of others ----------------------------------------------------------------------------


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def with_member(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("input_0.npy", content)
    return stream.getvalue()


def header(*shape: int) -> bytes:
    """Of an array of bytes, without these."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


PICTURE = np.zeros((3, 4, 6), np.uint8)
BROKEN_INPUTS = {
    "nothing": (b"", "is not an npz with input_0"),
    "text": (b"hello", "is not an npz with input_0"),
    "a single array": (npy(PICTURE), "is not an npz with input_0"),
    "cut short": (npz(input_0=PICTURE)[:-40], "is not an npz with input_0"),
    "damaged": (npz(input_0=PICTURE).replace(b"NUMPY", b"NIMPY"), "is not an npz with input_0"),
    "of another name": (npz(picture=PICTURE), "it holds picture"),
    "of objects": (npz(input_0=np.array([{}])), "is not an npz with input_0"),
    "of no array": (with_member(b"hello"), "is not an npz with input_0"),
    "cut short inside": (with_member(header(3, 4, 6)), "is not an npz with input_0"),
    "of more than there is memory": (with_member(header(3, 10**7, 10**7)), "Unable to allocate"),
    "two inputs": (npz(input_0=PICTURE, input_1=PICTURE), "has 2 inputs"),
    "floats": (npz(input_0=PICTURE.astype(np.float32)), "is float32 of (3, 4, 6)"),
    "planes last": (npz(input_0=PICTURE.transpose(1, 2, 0)), "is uint8 of (4, 6, 3)"),
    "empty": (npz(input_0=PICTURE[:, :0]), "is uint8 of (3, 0, 6)"),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN_INPUTS.values(), ids=BROKEN_INPUTS)
def test_a_broken_input_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(content)
    with pytest.raises(SourceError) as raised:
        read_input(file)
    assert str(raised.value).count(str(file)) == 1
    assert reason in str(raised.value)


def test_outputs_are_read_in_the_networks_order_however_they_are_stored(tmp_path: Path) -> None:
    maps = {f"output_{k}": np.full((1, k + 1, 2, 3), k, np.float16) for k in range(11)}
    (tmp_path / "x.npz").write_bytes(npz(**dict(reversed(maps.items()))))
    assert [array.shape[1] for array in read_outputs(tmp_path / "x.npz")] == [*range(1, 12)]
    (tmp_path / "x.npz").write_bytes(npz(output_0=PICTURE))
    with pytest.raises(SourceError, match=r"output_0 of .* is uint8; floats are needed"):
        read_outputs(tmp_path / "x.npz")
    with pytest.raises(SourceError, match=r"y\.npz: No such file"):
        read_outputs(tmp_path / "y.npz")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        '{"network": [8, 8], "pictures": [{}]}',
        '{"network": [8, 0], "pictures": []}',
        '{"network": [8, "8"], "pictures": []}',
        '{"network": [8], "pictures": []}',
    ],
)
def test_broken_places_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text("one.npz\n")
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(ValueError, match=r"list\.json is not what `datalist` writes"):
        placed(tmp_path / "list.txt")


def test_a_list_that_was_changed_since_is_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "--images", images, "--size", 48, 32, "-o", tmp_path)
    file = tmp_path / "datalist.txt"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[2] + lines[0])
    assert [place.name for place in placed(file)] == ["deep/b.png", "a.png"]
    file.write_text("elsewhere.npz\n")
    with pytest.raises(ValueError, match=r"names elsewhere\.npz, which is missing in"):
        placed(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="lists no inputs"):
        placed(file)
