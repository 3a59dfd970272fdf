"""What makes a network's input of an image: the operations of preprocessing files, and others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ._devices import die_of_thread, log
from ._enums import AttrKey, ImageFormat, OpType, TypeFlag
from ._images import Image, Tensor, rgb
from ._strictness import refused

# The formats as preprocessing files call them.
_FORMATS = {
    "YUV_NV12": ImageFormat.YUV_NV12,
    "RGB_PLANAR": ImageFormat.RGB_PLANAR,
    "BGR_PLANAR": ImageFormat.BGR_PLANAR,
    "RGB888": ImageFormat.RGB_INTERLEAVE,
    "BGR888": ImageFormat.BGR_INTERLEAVE,
    "GRAY": ImageFormat.GRAY,
}
_COLOURS = {"NO_CHANGE", "BGR2RGB", "RGB2BGR", "YUV2RGB_NV12", "YUV2BGR_NV12"}
_DTYPES = {
    "FLOAT16": np.float16, "FLOAT32": np.float32, "UINT8": np.uint8, "UINT16": np.uint16,
    "UINT32": np.uint32, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
}  # fmt: skip


class Operator:
    def __init__(self, op_type: OpType, config: dict[str, Any] | None = None) -> None:
        self.op_type = OpType(op_type)
        if config is None and self.op_type is not OpType.BERT_EMBEDDING_OP:
            raise TypeError(f"Operator: no program makes {self.op_type.name} without a file")
        self._config = config or {}

    @staticmethod
    def load_ops_from_json_file(path: str) -> list[Operator]:
        die_of_thread("load_ops_from_json_file")
        if not isinstance(path, str):
            raise TypeError("load_ops_from_json_file: the path must be str")
        parsed = json.loads(Path(path).read_text())
        operators = []
        for one in parsed if isinstance(parsed, list) else [parsed]:
            op_type, config = OpType[one["OpType"]], one.get("OpConfig")
            if op_type is not OpType.BERT_EMBEDDING_OP:
                if config["NormaType"] not in _NORMALISED:
                    raise ValueError(f"NormaType {config['NormaType']}")
                if config["ColorCvtCode"] not in _COLOURS:
                    raise ValueError(f"ColorCvtCode {config['ColorCvtCode']}")
                if config["IimageFormat"] not in _FORMATS:
                    raise ValueError(f"IimageFormat {config['IimageFormat']}")
            operators.append(Operator(op_type, config))
        log.append("load_ops_from_json_file")
        return operators

    def cast_to_buildin_operator(self) -> BuildInOperator:
        operator = BuildInOperator(self.op_type)
        for key, value in self._config.items():
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).upper()
            if name in AttrKey.__members__:
                is_format = name.endswith("IMAGE_FORMAT")
                operator.attributes[name] = _FORMATS[value].value if is_format else value
        return operator

    @property
    def takes_images(self) -> bool:
        return self.op_type is not OpType.BERT_EMBEDDING_OP

    @property
    def size(self) -> list[int]:
        """[3, height, width] of what it makes."""
        return [3, self._config["OimageHeight"], self._config["OimageWidth"]]

    def check(self, image: Image, params: Mapping[str, Any], what: str) -> None:
        """Refuse an image, and the parameters of a run, that do not fit."""
        wanted = _FORMATS[self._config["IimageFormat"]]
        if image.format is not wanted and refused("the operation's format"):
            raise ValueError(f"{what}: the operation takes {wanted.name}, not {image.format.name}")
        if refused("even sides") and (image.width % 2 or image.height % 2):
            raise ValueError(f"{what}: odd size {image.width} x {image.height}")
        if self.op_type.name.endswith("TENSOR_EXT") and "rgb_letterbox_ext" not in params:
            raise ValueError(f"{what}: this operation needs rgb_letterbox_ext")

    def apply(
        self, image: Image, extra: Sequence[int] | None, size: Sequence[int] | None = None
    ) -> np.ndarray:
        """An image -> (1, 3, h, w) float32, rounded to what the device computes with.

        extra  of an operation that takes parameters with each run
        size   (h, w) of the run, for a dynamic network
        """
        config = self._config
        wanted = _FORMATS[config["IimageFormat"]]
        height, width = size or self.size[1:]
        picture = self._placed(rgb(image), width, height, extra)
        is_bgr = wanted in (ImageFormat.BGR_PLANAR, ImageFormat.BGR_INTERLEAVE)
        # Of channels as they came, or from YUV as the code says.
        swaps = config["ColorCvtCode"] in ("BGR2RGB", "RGB2BGR", "YUV2BGR_NV12")
        if is_bgr != swaps:
            picture = picture[..., ::-1]
        normalised = _NORMALISED[config["NormaType"]](
            picture.astype(np.float32),
            np.float32(config.get("Mean", 0)),
            np.float32(config.get("Std", 1)),
        )
        half = normalised.astype(np.float16).astype(np.float32)
        return np.ascontiguousarray(half.transpose(2, 0, 1))[None]

    def _placed(
        self, picture: np.ndarray, width: int, height: int, extra: Sequence[int] | None
    ) -> np.ndarray:
        """The picture at the network's size, in the way that the operation's name says."""
        config, name = self._config, self.op_type.name
        padding = tuple(config.get("Padding", (0, 0, 0)))
        if name.endswith("LETTERBOX_CVTCOLOR_NORM_TENSOR_EXT"):
            assert extra is not None
            w, h, top, bottom, left, right = extra
            edges = (top, bottom, left, right)
            return cv2.copyMakeBorder(
                _resized(picture, w, h), *edges, cv2.BORDER_CONSTANT, None, padding
            )
        if "LETTERBOX" in name:
            factor = min(width / picture.shape[1], height / picture.shape[0])
            w, h = (max(1, round(side * factor)) for side in picture.shape[1::-1])
            top, left = (height - h) // 2, (width - w) // 2
            edges = (top, height - h - top, left, width - w - left)
            return cv2.copyMakeBorder(
                _resized(picture, w, h), *edges, cv2.BORDER_CONSTANT, None, padding
            )
        x, y = config.get("CropX", 0), config.get("CropY", 0)
        w, h = config.get("ResizeWidth", width), config.get("ResizeHeight", height)
        if extra is not None:
            x, y, w, h = extra
        if "CROP" in name and name.index("CROP") < name.index("RESIZE"):
            w, h = config.get("CropWidth", w), config.get("CropHeight", h)
            return _resized(picture[y : y + h, x : x + w], width, height)
        if "CROP" in name:
            return _resized(picture, w, h)[y : y + height, x : x + width]
        return _resized(picture, width, height)


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    source = np.ascontiguousarray(picture)
    return cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)


_NORMALISED: Mapping[str, Any] = {
    "EQUAL": lambda x, mean, std: x,
    "DIV255": lambda x, mean, std: x / 255,
    "DIV1275_MINUSONE": lambda x, mean, std: x / np.float32(127.5) - 1,
    "MINUSMEAN_DIVSTD": lambda x, mean, std: (x - mean) / std,
    "DIV255_MINUSMEAN_DIVSTD": lambda x, mean, std: (x / 255 - mean) / std,
}


class BuildInOperator:
    def __init__(self, op_type: OpType) -> None:
        self.op_type = OpType(op_type)
        self.attributes: dict[str, Any] = {}  # by the name of the key

    def set_attribute(self, values: Mapping[AttrKey, Any]) -> None:
        for key, value in values.items():
            self.attributes[AttrKey(key).name] = value

    def get_attribute(self, key: AttrKey) -> Any:
        return self.attributes[AttrKey(key).name]


class CustomOperator:
    def __init__(self, op_name: str, elf_file_path: str) -> None:
        die_of_thread("CustomOperator")
        if not Path(elf_file_path).is_file():
            raise RuntimeError(f"CustomOperator: cannot open {elf_file_path}")
        self._name = op_name

    def set_config(self, config_bytes: bytes, config_size: int) -> None:
        if len(config_bytes) != config_size:
            raise ValueError(f"set_config: {config_size} is not the size of {len(config_bytes)}")

    def run_sync(
        self,
        tensors: Sequence[Tensor],
        config: bytes = b"",
        output_info: Sequence[tuple[Sequence[int], TypeFlag]] = (),
    ) -> list[Tensor]:
        die_of_thread("CustomOperator.run_sync")
        if not all(isinstance(tensor, Tensor) for tensor in tensors):
            raise TypeError("run_sync: tensors are needed")
        return [Tensor(np.zeros(shape, _DTYPES[TypeFlag(t).name])) for shape, t in output_info]
