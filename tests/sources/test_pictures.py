"""Picture files: read, upright, and refused with the reason.

Files are made with Pillow, which shares no code with the reader.
"""

from __future__ import annotations

import io
import os
import resource
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.pictures import decode_picture, read_picture

WIDTH, HEIGHT = 96, 64


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A smooth colourful picture, so that lossy formats change it little."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return Image.fromarray(cv2.normalize(cv2.blur(noise, (9, 9)), None, 0, 255, cv2.NORM_MINMAX))


def opened(file: str | Path) -> Image.Image:
    """A picture as Pillow reads it; the file is closed."""
    return Image.open(io.BytesIO(Path(file).read_bytes()))


def bgr(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))[..., ::-1]


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 6),
        ("JPEG", {"quality": 95}, 6),
        ("JPEG", {"quality": 95, "progressive": True}, 6),
        ("AVIF", {"quality": 95}, 6),
        ("JPEG2000", {}, 0),
    ],
)
def test_formats_give_the_picture(
    tmp_path: Path, picture: Image.Image, kind: str, options: dict[str, object], tolerance: float
) -> None:
    file = tmp_path / "picture"  # the content tells the format, not the name
    file.write_bytes(encoded(picture, kind, **options))
    read = read_picture(file)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    assert difference(read, bgr(picture)) <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "WEBP"])
def test_pixel_kinds_become_bgr(tmp_path: Path, picture: Image.Image, kind: str, mode: str) -> None:
    file = tmp_path / "picture"
    options = {"lossless": True} if kind == "WEBP" else {}
    file.write_bytes(encoded(picture.convert(mode), kind, **options))
    assert difference(read_picture(file), bgr(opened(file))) <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "CMYK"])
def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path, picture: Image.Image, mode: str) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(encoded(picture.convert(mode), "JPEG", quality=95))
    assert difference(read_picture(file), bgr(opened(file))) <= 1


def test_16_bit_channels_keep_their_upper_half(tmp_path: Path, picture: Image.Image) -> None:
    gray = np.asarray(picture.convert("L"))
    for kind in ("PNG", "TIFF"):
        file = tmp_path / f"gray16.{kind}"
        Image.fromarray(gray.astype(np.uint16) * 256 + 77).save(file, kind)
        assert (read_picture(file) == gray[..., None]).all()
    colour = tmp_path / "colour16.png"
    cv2.imwrite(os.fspath(colour), bgr(picture).astype(np.uint16) * 256 + 255)
    assert (read_picture(colour) == bgr(picture)).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparent_pictures_lie_on_white(tmp_path: Path, picture: Image.Image, kind: str) -> None:
    """The left third is transparent, the middle half so, the right opaque."""
    third = WIDTH // 3
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, third : 2 * third] = 128
    alpha[:, 2 * third :] = 255
    clear = picture.copy()
    clear.putalpha(Image.fromarray(alpha))
    file = tmp_path / "clear"
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    file.write_bytes(encoded(clear, kind, **options))
    page = Image.new("RGBA", clear.size, "white")
    page.alpha_composite(clear)
    read = read_picture(file)
    assert (read[:, :third] == 255).all()
    assert (read[:, 2 * third :] == bgr(picture)[:, 2 * third :]).all()
    assert np.abs(read.astype(int) - bgr(page)).max() <= 1


def test_transparent_palette_and_16_bit_lie_on_white(tmp_path: Path, picture: Image.Image) -> None:
    palette = picture.convert("P")
    index = np.asarray(palette)[0, 0]
    palette.save(tmp_path / "palette.png", transparency=int(index))
    assert (read_picture(tmp_path / "palette.png")[0, 0] == 255).all()
    deep = np.zeros((HEIGHT, WIDTH, 4), np.uint16)
    deep[:, 48:] = 65535
    cv2.imwrite(os.fspath(tmp_path / "deep.png"), deep)
    assert (read_picture(tmp_path / "deep.png") == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "alpha"), [("JPEG", 0), ("PNG", 0), ("PNG", 1), ("WEBP", 0), ("WEBP", 1), ("TIFF", 0)]
)
def test_exif_orientation_is_applied_once(
    tmp_path: Path, picture: Image.Image, kind: str, alpha: bool, orientation: int
) -> None:
    made = picture.convert("RGBA") if alpha else picture
    if alpha:
        made.putpixel((0, 0), (0, 0, 0, 0))  # so that the channel is not dropped as opaque
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}}[kind]
    file = tmp_path / "turned"
    file.write_bytes(encoded(made, kind, exif=exif, **options))
    turn = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_270],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_90],
    }.get(orientation, [])
    upright = made
    for step in turn:
        upright = upright.transpose(step)
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright.convert("RGBA"))
    assert difference(read_picture(file), bgr(page)) <= (6 if kind == "JPEG" else 0.1)


def test_a_damaged_exif_block_is_ignored(tmp_path: Path, picture: Image.Image) -> None:
    for number, exif in enumerate(
        (
            b"",
            b"II*\0",
            b"MM\0*\xff\xff\xff\xff",
            b"II*\0\x08\0\0\0\xff\xff\x12\x01",
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",
        )
    ):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(encoded(picture, "JPEG", exif=b"Exif\0\0" + exif))
        assert read_picture(file).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (60000, 3), (3, 60000)])
def test_very_wide_and_tall_pictures_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "long", kind)
        assert read_picture(tmp_path / "long").shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["日本 語.png", "наголос́.png", "a\nb.png", "[1]*.png"])
def test_any_path_is_read(tmp_path: Path, picture: Image.Image, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(picture, "PNG"))
    assert (read_picture(tmp_path / name) == bgr(picture)).all()


def test_a_path_that_is_no_text_is_read(tmp_path: Path, picture: Image.Image) -> None:
    file = tmp_path / os.fsdecode(b"\xff.png")
    try:
        file.write_bytes(encoded(picture, "PNG"))
    except OSError:
        pytest.skip("this file system wants names to be text")
    assert (read_picture(file) == bgr(picture)).all()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_files_are_reported(
    tmp_path: Path, picture: Image.Image, kind: str, options: dict[str, object], share: float
) -> None:
    """Never half a picture: OpenCV's own file reader fills the rest of a cut JPEG with grey."""
    data = encoded(picture.resize((960, 640)), kind, **options)
    file = tmp_path / "cut"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"cut: .*(truncated|decoded|read)"):
        read_picture(file)


def test_what_is_appended_does_no_harm(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "tail.jpg").write_bytes(encoded(picture, "JPEG") + b"trailer" * 100)
    assert read_picture(tmp_path / "tail.jpg").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.mkdir(), "directory"),
        (lambda file: file.write_bytes(b""), "the file is empty"),
        (lambda file: file.write_text("hello"), "not a picture"),
        (lambda file: file.write_bytes(b"\xff\xd8\xff\xe0" + b"x" * 99), "damaged JPEG"),
        (lambda file: file.write_bytes(b"\0\0\0\x18ftypheic" + b"x" * 99), "HEIC"),
        (lambda file: Image.new("F", (9, 9)).save(file, "TIFF"), "float32"),
    ],
)
def test_unreadable_files_are_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    file = tmp_path / "bad.jpg"
    make(file)
    with pytest.raises(SourceError, match=reason) as caught:
        read_picture(file)
    assert "bad.jpg" in str(caught.value)


# Bits, turns and ends that OpenCV leaves to us --------------------------------------------------


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_more_bits_is_as_bright_as_one_of_eight(tmp_path: Path, bits: int) -> None:
    values = np.tile(np.linspace(0, 255, 64).astype(np.uint16), (48, 1))
    stored = np.dstack([values] * 3) << (bits - 8)
    _, data = cv2.imencode(".avif", stored, [cv2.IMWRITE_AVIF_DEPTH, bits])
    found = decode_picture(data.tobytes(), "deep.avif")
    assert np.abs(found.astype(int) - np.dstack([values] * 3)).mean() < 3


@pytest.mark.parametrize("bits", [10, 12])
def test_jpeg_2000_of_more_bits_is_as_bright_as_one_of_eight(bits: int) -> None:
    values = np.tile(np.linspace(0, 255, 64).astype(np.uint16), (48, 1))
    encoder = av.CodecContext.create("jpeg2000", "w")
    encoder.width, encoder.height = 64, 48
    encoder.pix_fmt, encoder.time_base = f"gray{bits}le", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(values << (bits - 8), encoder.pix_fmt)
    data = b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))
    found = decode_picture(data, "deep.jp2")
    assert np.abs(found[..., 0].astype(int) - values).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_low_bits_in_sixteen_are_scaled_and_said(suffix: str, bits: int) -> None:
    values = np.tile(np.linspace(0, 255, 64).astype(np.uint16), (48, 1))
    _, data = cv2.imencode(suffix, values << (bits - 8))
    with pytest.warns(SourceWarning, match=rf"16 bits, of which {bits} are used"):
        found = decode_picture(data.tobytes(), "deep")
    np.testing.assert_array_equal(found[..., 0], values)


def test_a_black_picture_of_sixteen_bits_is_black_without_a_word() -> None:
    _, data = cv2.imencode(".png", np.zeros((8, 8), np.uint16))
    assert not decode_picture(data.tobytes(), "black").any()


def _avif(orientation: int) -> bytes:
    """Pillow writes EXIF's orientation as the file's own turns, and no EXIF pixel rotation."""
    rows = np.linspace(0, 255, 48)[:, None] * np.ones(64)
    columns = np.ones(48)[:, None] * np.linspace(0, 255, 64)
    image = Image.fromarray(np.dstack([rows, columns, 128 + 0 * rows]).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "AVIF", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_as_pillow_turns_it(orientation: int) -> None:
    data = _avif(orientation)
    with Image.open(io.BytesIO(data)) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))[..., ::-1]
    found = decode_picture(data, "turned.avif")
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(3, "Hxx"), (4, "I")])
def test_exif_orientation_of_either_type_and_order_counts(order: str, kind: int, form: str) -> None:
    _, data = cv2.imencode(".jpg", np.zeros((32, 48, 3), np.uint8))
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI{form}", 0x0112, kind, 1, 6)
    exif = b"Exif\0\0" + head + struct.pack(order + "IH", 8, 1) + entry + b"\0\0\0\0"
    block = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    turned = decode_picture(b"\xff\xd8" + block + data.tobytes()[2:], "turned.jpg")
    assert turned.shape == (48, 32, 3)


@pytest.mark.parametrize(
    ("suffix", "options", "missing"),
    [
        (".jpg", [], 2),
        (".jpg", [], 1),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], 2),
        (".png", [], 12),
        (".png", [], 5),
    ],
)
def test_a_file_that_lacks_only_its_end_is_taken_with_a_warning(
    suffix: str, options: list[int], missing: int
) -> None:
    rows = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    _, data = cv2.imencode(suffix, rows, options)
    whole = decode_picture(data.tobytes(), "whole")
    with pytest.warns(SourceWarning, match="the end of the .* is missing"):
        found = decode_picture(data.tobytes()[:-missing], "cut")
    np.testing.assert_array_equal(found, whole)
    for lost in (missing + 3, missing + 30, data.size // 2):
        with pytest.raises(SourceError, match="truncated or damaged"):
            decode_picture(data.tobytes()[: -(lost + (9 if suffix == ".png" else 0))], "cut")


@pytest.mark.parametrize("opened", [read_picture, lambda path: [*Animation(path)]])
def test_a_chunk_that_claims_gigabytes_takes_no_memory(
    opened: Callable[[Path], object], tmp_path: Path
) -> None:
    whole = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    at = whole.index(b"IDAT") - 4
    file = tmp_path / "a.png"
    file.write_bytes(whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match="truncated or damaged PNG"):
        opened(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KB


def _tiff(bits: int, channels: int, sample: int) -> bytes:
    """An uncompressed TIFF of 4 x 4 pixels, its tags after them."""
    pixels = bytes(4 * 4 * channels * bits // 8)
    listed = struct.pack(f"<{channels}H", *[bits] * channels)
    at = 8 + len(pixels)
    inline = int.from_bytes(listed[:4], "little")
    tags = [
        (256, 4, 1, 4), (257, 4, 1, 4), (258, 3, channels, at if channels > 2 else inline),
        (259, 3, 1, 1), (262, 3, 1, 2 if channels > 2 else 1), (273, 4, 1, 8),
        (277, 3, 1, channels), (278, 4, 1, 4), (279, 4, 1, len(pixels)), (339, 3, 1, sample),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = at + len(listed)
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + pixels
        + listed
        + struct.pack("<H", 10)
        + (directory + b"\0\0\0\0")
    )


@pytest.mark.parametrize(
    ("bits", "channels", "sample", "reason"),
    [
        (16, 1, 3, "pixels are float16"),
        (32, 1, 3, "pixels are float32"),
        (8, 5, 1, "pixels have 5 channels"),
    ],
)
def test_whole_tiffs_of_unusual_pixels_are_not_called_damaged(
    bits: int, channels: int, sample: int, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        decode_picture(_tiff(bits, channels, sample), "odd.tif")
