"""Caffe's files: read as protobuf's own runtime wrote them, and refused when they are damaged."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import caffe_networks
from caffe_networks import NETWORKS, encoded, messages, named, random, small
from openpose_ext.errors import ModelError
from openpose_ext.models.convert.caffemodel import read_caffemodel

pytest.importorskip("google.protobuf", reason="protobuf is not installed")


@pytest.fixture(scope="module")
def content() -> bytes:
    net = small()
    return encoded(net, random(net))


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    (folder / "a.caffemodel").write_bytes(content)
    return read_caffemodel(folder / "a.caffemodel")


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape, name
        assert np.array_equal(found[name], values), name


# What is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_number_comes_back(kind: str, tmp_path: Path) -> None:
    weights = caffe_networks.write(tmp_path / "a.caffemodel", kind)
    assert_equal(read_caffemodel(tmp_path / "a.caffemodel"), named(weights))


def test_layers_of_the_old_form_are_read(tmp_path: Path) -> None:
    net = small()
    weights = random(net)
    expected = {
        name: values if values.ndim == 4 else values.reshape(1, 1, 1, -1)
        for name, values in named(weights).items()
    }
    assert_equal(read(tmp_path, encoded(net, weights, old=True)), expected)


def blobs() -> dict[str, bytes]:
    """The numbers 0 to 5 as (2, 3), in every way that protobuf and Caffe allow."""
    known = messages()
    numbers = np.arange(6, dtype=np.float32)
    ways = {
        "packed": known["Blob"](data=numbers, shape={"dim": [2, 3]}),
        "unpacked": known["UnpackedBlob"](data=numbers, shape={"dim": [2, 3]}),
        "doubles": known["Blob"](double_data=numbers, shape={"dim": [2, 3]}),
        "unpacked doubles": known["UnpackedBlob"](double_data=numbers, shape={"dim": [2, 3]}),
        "with differences": known["Blob"](data=numbers, diff=-numbers, shape={"dim": [2, 3]}),
        "old": known["Blob"](data=numbers, height=2, width=3),
        "old, with zeros": known["Blob"](data=numbers, num=0, channels=0, height=2, width=3),
    }
    written = {name: way.SerializeToString() for name, way in ways.items()}
    # Two messages one after the other are one, whose repeated fields are joined.
    pieces = [known["Blob"](data=numbers[:2]), known["Blob"](data=numbers[2:], height=2, width=3)]
    written["in pieces"] = b"".join(piece.SerializeToString() for piece in pieces)
    return written


def with_blob(blob: bytes, *, name: str = "conv1_1") -> bytes:
    """A network of one layer with one blob. Unknown fields of every type stand around."""
    unknown = (
        b"\xa0\x1f\x96\x01" + b"\xa1\x1f" + bytes(8) + b"\xa5\x1f" + bytes(4) + b"\xa2\x1f\x02ab"
    )
    layer = field(1, name.encode()) + unknown + field(7, unknown + blob)
    return unknown + field(100, layer) + unknown


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 128 else bytes([low | 0x80]) + varint(value >> 7)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize("way", [*blobs()])
def test_blobs_are_read_however_they_are_written(way: str, tmp_path: Path) -> None:
    (values,) = read(tmp_path, with_blob(blobs()[way])).values()
    assert np.array_equal(values.reshape(2, 3), np.arange(6).reshape(2, 3))
    assert values.shape == (
        (1, 1, 2, 3) if way in ("old", "old, with zeros", "in pieces") else (2, 3)
    )


def test_a_slope_that_all_channels_share_has_no_dimensions(tmp_path: Path) -> None:
    blob = messages()["Blob"](data=[0.25], shape={})
    (values,) = read(tmp_path, with_blob(blob.SerializeToString())).values()
    assert values.shape == ()


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n\x1a\n", "not a Caffe model but an HDF5 snapshot"),
        (b"PK\x03\x04", "but a zip archive, as torch writes; name it .pth"),
        (b"\x80\x02}q\x00.", "but a pickle"),
        (b"<!DOCTYPE html><title>404</title>", "but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but Git LFS's pointer to one"),
        (b'name: "OpenPose"\nlayer {', "but a prototxt, which has no weights"),
        (b"layer {\n", "but a prototxt"),
        (b"", "before the first layer, it has no weights"),
        (field(1, b"a name alone"), "it has no weights"),
        (b"\xa3\x06", "before the first layer, a field has the unknown type 3"),
        (b"\xff" * 11, "a number has more than 10 bytes"),
        (b"\xa2", "a number is truncated"),
    ],
)
def test_other_files_are_refused_with_what_they_are(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, content)


def blob_of(shape: bytes, data: bytes = bytes(24)) -> bytes:
    return field(5, data) + field(7, field(1, shape))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (blob_of(b"\x02\x04"), "6 numbers for a blob of 2 x 4"),
        (blob_of(b"\x02\x03", bytes(23)), "5.75 numbers for a blob of 2 x 3"),
        (blob_of(b"\x06" + b"\x01" * 70), "ndim|dimension"),
        (blob_of(b"\x00" + b"\xff" * 9 + b"\x01", b""), "0 numbers for a blob of 0 x"),
        (blob_of(b"\xff" * 9 + b"\x01"), "6 numbers for a blob of 18446744073709551615"),
        (blob_of(b"\x06" * 600), "a shape has 603 bytes"),
        (blob_of(b"\x86"), "a number is truncated"),
        (field(6, bytes(24)), "0 numbers for a blob of 1 x 1 x 1 x 1"),
        (b"\x2a\xff\xff\xff\x7f" + bytes(24), "a field has 268435455 bytes, but only 24 are left"),
    ],
)
def test_a_blob_that_contradicts_itself_is_refused_with_its_layer(
    blob: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=rf"in the layer 'conv1_1', .*({message})"):
        read(tmp_path, with_blob(blob))


def test_two_layers_of_one_name_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="in the layer 'conv1_1', another layer has this name"):
        read(tmp_path, content + content)


def test_a_name_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="before the first layer, a name has 300 bytes"):
        read(tmp_path, with_blob(b"", name="n" * 300))


def test_a_file_cut_short_is_refused_with_the_layer(content: bytes, tmp_path: Path) -> None:
    whole = read(tmp_path, content)
    told = set()
    for length in range(len(content)):
        try:
            found = read(tmp_path, content[:length])
        except ModelError as error:
            reason = str(error)
            told |= {name for name in ("conv1_1", "conv4_2", "prelu4_2") if name in reason}
        else:  # cut between two layers: what is missing is the network's to say
            assert found.keys() < whole.keys() or length > content.rindex(b"prelu4_2")
    assert told == {"conv1_1", "conv4_2", "prelu4_2"}


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_caffemodel(tmp_path / "gone.caffemodel")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_caffemodel(tmp_path)


# What is hostile ---------------------------------------------------------------------------------


def flipped(content: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(len(content), size=rng.integers(1, 5)):
        content[at] ^= 1 << int(rng.integers(8))


def overlong(content: bytearray, rng: np.random.Generator) -> None:
    """A length, if it is hit, that leaves the file by far."""
    at = int(rng.integers(len(content)))
    content[at : at + 1] = b"\xff\xff\xff\xff" + bytes([int(rng.integers(128))])


def cut(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(len(content))) :]


def spliced(content: bytearray, rng: np.random.Generator) -> None:
    start, end, to = sorted(rng.integers(len(content), size=3))
    content[start:end] = content[end:to] * int(rng.integers(1, 4))


# Narrow: most of the file says what the rest is. Wide: most are numbers, which may be any.
@pytest.mark.parametrize("width", [4, 256])
@pytest.mark.parametrize("damage", [flipped, overlong, cut, spliced])
def test_damaged_files_are_refused_or_read_within_twice_their_size(
    damage: Callable[[bytearray, np.random.Generator], None], width: int, tmp_path: Path
) -> None:
    net = small(width)
    content = encoded(net, random(net))
    refused = 0
    tracemalloc.start()
    try:
        for seed in range(200):
            damaged = bytearray(content)
            damage(damaged, np.random.default_rng(seed))
            file = tmp_path / "a.caffemodel"
            file.write_bytes(damaged)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                found = read_caffemodel(file)
            except ModelError:
                refused += 1
            else:
                assert all(values.dtype == np.float32 for values in found.values())
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak <= 2 * len(damaged) + 2**15, seed
    finally:
        tracemalloc.stop()
    assert refused >= 50 or width > 4


FIELDS = 2**16

HOSTILE = {
    "empty fields": b"\x08\x00" * (4 * FIELDS),
    "numbers one by one": with_blob((b"\x2d" + bytes(4)) * (2 * FIELDS)),
    "small layers": b"".join(
        with_blob(field(5, bytes(4)), name=f"{k}") for k in range(FIELDS // 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_more_fields_than_a_network_has_are_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="more than 65536 fields; no network has so many"):
        read(tmp_path, HOSTILE[name])


# Reads a file and says by how many bytes the process has grown at most.
GROWTH = """
import resource, sys
from openpose_ext.errors import ModelError
from openpose_ext.models.convert.caffemodel import read_caffemodel

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
try:
    read_caffemodel(sys.argv[1])
except ModelError as error:
    print(error, file=sys.stderr)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (b"", ""),
        (b"\x07", "numbers for a blob of"),
    ],
)
def test_one_blob_of_the_whole_file_takes_twice_its_size(
    wrong: bytes, hint: str, tmp_path: Path
) -> None:
    size = 48 * 2**20
    shape = field(7, field(1, varint(size // 4) + wrong))
    file = tmp_path / "a.caffemodel"
    file.write_bytes(with_blob(shape + field(5, bytes(size))))
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(file)], capture_output=True, text=True, check=True
    )
    assert hint in done.stderr
    assert int(done.stdout) <= 2 * size + 2**21
