"""Images and tensors on a die, and what can be done to images outside of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ._devices import die_of_thread, is_int
from ._enums import ImageColorSpace, ImageFlipType, ImageFormat, ImagePaddingType, ImageResizeType
from ._strictness import refused

_PLANAR = (ImageFormat.RGB_PLANAR, ImageFormat.BGR_PLANAR)
_SHAPES = {
    ImageFormat.RGB_PLANAR: lambda w, h: [(3, h, w)],
    ImageFormat.BGR_PLANAR: lambda w, h: [(3, h, w)],
    ImageFormat.RGB_INTERLEAVE: lambda w, h: [(h, w, 3)],
    ImageFormat.BGR_INTERLEAVE: lambda w, h: [(h, w, 3)],
    ImageFormat.GRAY: lambda w, h: [(h, w), (1, h, w), (h, w, 1)],
    ImageFormat.YUV_NV12: lambda w, h: [(h * 3 // 2, w)],
}
_FILTERS = {
    ImageResizeType.NEAREST: cv2.INTER_NEAREST,
    ImageResizeType.BICUBIC_PILLOW: cv2.INTER_CUBIC,
}


class Image:
    def __init__(
        self, array: np.ndarray, format: ImageFormat, width: int, height: int, die: int
    ) -> None:
        self._array, self.format, self._die = array, format, die
        self.width, self.height = int(width), int(height)

    @property
    def shape(self) -> list[int]:
        return list(self._array.shape)


def create_image(
    array: np.ndarray, format: ImageFormat, width: int, height: int, device_id: int
) -> Image:
    die = die_of_thread("create_image")
    for value, name in ((width, "width"), (height, "height"), (device_id, "device_id")):
        is_int(value, name)
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise TypeError("create_image: a uint8 array is needed")
    if not isinstance(format, ImageFormat):
        raise TypeError("create_image: an ImageFormat is needed")
    if refused("contiguous arrays") and not array.flags.c_contiguous:
        raise ValueError("create_image: the array is not contiguous")
    if array.shape not in _SHAPES[format](width, height):
        raise ValueError(
            f"create_image: {array.shape} is not {format.name} of {width} x {height} pixels"
        )
    if format is ImageFormat.YUV_NV12 and (width % 2 or height % 2):
        raise ValueError(f"create_image: YUV_NV12 of odd size {width} x {height}")
    if device_id != die:
        if refused("the thread's device"):
            raise RuntimeError(f"create_image: device {device_id}, but this thread is on {die}")
        die = int(device_id)
    return Image(array if refused("copied arrays") else array.copy(), format, width, height, die)


class Tensor:
    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape = list(values.shape)

    def clone(self, device_id: int | None = None) -> Tensor:
        return Tensor(self._values.copy())


def from_numpy(array: np.ndarray, device_id: int) -> Tensor:
    die_of_thread("from_numpy")
    is_int(device_id, "device_id")
    if not isinstance(array, np.ndarray):
        raise TypeError("from_numpy: an array is needed")
    if refused("types of tensors") and array.dtype not in (np.int32, np.float16, np.uint8):
        raise TypeError(f"from_numpy: no program makes a tensor of {array.dtype}")
    return Tensor(array.copy())


def as_numpy(tensor: Tensor | Image) -> np.ndarray:
    if isinstance(tensor, Image):
        return np.array(tensor._array)
    if not isinstance(tensor, Tensor):
        raise TypeError("as_numpy: a Tensor or an Image is needed")
    return tensor._values.copy()


def rgb(image: Image) -> np.ndarray:
    """(h, w, 3) uint8 RGB."""
    array = image._array
    if image.format in _PLANAR:
        array = array.transpose(1, 2, 0)
    if image.format is ImageFormat.GRAY:
        return np.repeat(array.reshape(image.height, image.width, 1), 3, axis=2)
    if image.format is ImageFormat.YUV_NV12:
        return cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_YUV2RGB_NV12)
    is_bgr = image.format in (ImageFormat.BGR_PLANAR, ImageFormat.BGR_INTERLEAVE)
    return np.ascontiguousarray(array[..., ::-1] if is_bgr else array)


def of_rgb(picture: np.ndarray, format: ImageFormat, die: int) -> Image:
    """The image of a picture (h, w, 3) RGB in a format."""
    height, width = picture.shape[:2]
    if format is ImageFormat.GRAY:
        array = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    elif format is ImageFormat.YUV_NV12:
        if width % 2 or height % 2:
            raise ValueError(f"YUV_NV12 of odd size {width} x {height}")
        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        colours = planes[height:].reshape(2, -1)
        array = np.concatenate([planes[:height], colours.T.reshape(height // 2, width)])
    else:
        is_bgr = format in (ImageFormat.BGR_PLANAR, ImageFormat.BGR_INTERLEAVE)
        array = picture[..., ::-1] if is_bgr else picture
        array = array.transpose(2, 0, 1) if format in _PLANAR else array
    return Image(np.ascontiguousarray(array), format, width, height, die)


def _changed(image: Image, what: str, picture: np.ndarray) -> Image:
    die_of_thread(what)
    return of_rgb(picture, image.format, image._die)


def _is_image(image: object, what: str) -> None:
    if not isinstance(image, Image):
        raise TypeError(f"{what}: an Image is needed")


def cvtcolor(
    image: Image,
    dst_format: ImageFormat,
    color_space: ImageColorSpace = ImageColorSpace.COLOR_SPACE_BT709,
) -> Image:
    _is_image(image, "cvtcolor")
    die_of_thread("cvtcolor")
    return of_rgb(rgb(image), ImageFormat(dst_format), image._die)


def resize(
    image: Image, resize_type: ImageResizeType, resize_width: int, resize_height: int
) -> Image:
    _is_image(image, "resize")
    size = (resize_width, resize_height)
    how = _FILTERS.get(ImageResizeType(resize_type), cv2.INTER_LINEAR)
    return _changed(image, "resize", cv2.resize(rgb(image), size, interpolation=how))


def crop(image: Image, rect: Sequence[int]) -> Image:
    _is_image(image, "crop")
    x, y, w, h = rect
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > image.width or y + h > image.height:
        raise ValueError(f"crop: {rect} leaves {image.width} x {image.height}")
    return _changed(image, "crop", rgb(image)[y : y + h, x : x + w].copy())


def resize_copy_make_border(
    image: Image,
    resize_type: ImageResizeType,
    resize_width: int,
    resize_height: int,
    padding_type: ImagePaddingType,
    padding_values: Sequence[int],
    padding_edges: Sequence[int],
) -> Image:
    ImagePaddingType(padding_type)
    resized = rgb(resize(image, resize_type, resize_width, resize_height))
    top, bottom, left, right = padding_edges
    border = cv2.copyMakeBorder(
        resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=tuple(padding_values)
    )
    return _changed(image, "resize_copy_make_border", border)


def scale(
    image: Image, resize_type: ImageResizeType, sizes: Sequence[tuple[int, int]]
) -> list[Image]:
    return [resize(image, resize_type, *size) for size in sizes]


def batch_crop_resize(
    image: Image,
    rects: Sequence[Sequence[int]],
    resize_type: ImageResizeType,
    resize_width: int,
    resize_height: int,
) -> list[Image]:
    return [resize(crop(image, r), resize_type, resize_width, resize_height) for r in rects]


def yuvflip(image: Image, flip_type: ImageFlipType) -> Image:
    _is_image(image, "yuvflip")
    if image.format is not ImageFormat.YUV_NV12:
        raise ValueError(f"yuvflip: YUV_NV12 is needed, not {image.format.name}")
    axis = 0 if flip_type is ImageFlipType.FLIP_TYPE_X_AXIS else 1
    return _changed(image, "yuvflip", cv2.flip(rgb(image), axis))


def warpaffine(
    image: Image,
    matrix: Sequence[Sequence[float]],
    mode: Any,
    border_mode: Any,
    value: Sequence[int],
) -> Image:
    _is_image(image, "warpaffine")
    size = image.width, image.height
    warped = cv2.warpAffine(rgb(image), np.asarray(matrix, float), size, borderValue=tuple(value))
    return _changed(image, "warpaffine", warped)
