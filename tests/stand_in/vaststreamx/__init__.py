"""A stand-in for Vastai's runtime, for machines without a card.

Written from what the vendor's public example programs do: it takes every sequence of calls that
they show. Where nothing is known it is as harsh as it may be; `_strictness` lists what it refuses
beyond what they show, and how to change that.

A compiled network is a prefix whose `<prefix>.json` says what stands for it:

    {"input": [3, 184, 184],             channels, height, width; or, of several inputs,
     "inputs": [[128], [128], [128]],    their shapes without a batch
     "onnx": "body.onnx",                run by onnxruntime, relative to the JSON, or instead
     "outputs": [[38, 23, 23], ...],     maps of zeros
     "undo": true,                       the ONNX takes pixels: (x - 128) / 256 is undone before it
     "seconds": 0.025,                   that a batch takes at least, asleep
     "hw_config": "fast",                the only hardware configuration that it takes
     "ended": "ended.txt",               gets a line when a stream is done, beside the JSON
     "dynamic": true,                    this file, without a batch, is given to `Model`
     "max_batch": 32}

`faults` makes it fail.
"""

from __future__ import annotations

from ._devices import (
    DIES,
    Card,
    Die,
    Faults,
    faults,
    get_all_cards,
    get_all_cards_count,
    log,
    set_device,
)
from ._enums import (
    AttrKey,
    CaptureMode,
    CodecType,
    ColorCvtCode,
    GraphOutputType,
    ImageColorSpace,
    ImageFlipType,
    ImageFormat,
    ImagePaddingType,
    ImageResizeType,
    OpType,
    StreamBalanceMode,
    TypeFlag,
)
from ._images import (
    Image,
    Tensor,
    as_numpy,
    batch_crop_resize,
    create_image,
    crop,
    cvtcolor,
    from_numpy,
    resize,
    resize_copy_make_border,
    scale,
    warpaffine,
    yuvflip,
)
from ._model import Model, ModelOperator
from ._operators import BuildInOperator, CustomOperator, Operator
from ._stream import Graph, Stream, batches
from ._strictness import RULES, lenient, refusals, strict
from ._video import VideoCapture

__version__ = "0+stand-in"

__all__ = [
    "DIES",
    "RULES",
    "AttrKey",
    "BuildInOperator",
    "CaptureMode",
    "Card",
    "CodecType",
    "ColorCvtCode",
    "CustomOperator",
    "Die",
    "Faults",
    "Graph",
    "GraphOutputType",
    "Image",
    "ImageColorSpace",
    "ImageFlipType",
    "ImageFormat",
    "ImagePaddingType",
    "ImageResizeType",
    "Model",
    "ModelOperator",
    "OpType",
    "Operator",
    "Stream",
    "StreamBalanceMode",
    "Tensor",
    "TypeFlag",
    "VideoCapture",
    "as_numpy",
    "batch_crop_resize",
    "batches",
    "create_image",
    "crop",
    "cvtcolor",
    "faults",
    "from_numpy",
    "get_all_cards",
    "get_all_cards_count",
    "lenient",
    "log",
    "refusals",
    "resize",
    "resize_copy_make_border",
    "scale",
    "set_device",
    "strict",
    "warpaffine",
    "yuvflip",
]
