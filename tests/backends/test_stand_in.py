"""The stand-in for Vastai's runtime: it takes what public programs show, and refuses the rest."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

import compiled_networks
import tiny_networks
import videos
import zoo_script

WIDTH, HEIGHT = 64, 48
CELLS = (HEIGHT // 8, WIDTH // 8)


@pytest.fixture
def prefix(vaststreamx: ModuleType, tmp_path: Path) -> Path:
    """A network of one layer, whose answers `tiny_networks` knows; heat first, fields second."""
    tiny_networks.write(
        tmp_path / "tiny.onnx",
        {"heat": 19, "paf": 38},
        size=(1, HEIGHT, WIDTH),
        output_size=(1, *CELLS),
    )
    return compiled_networks.write(tmp_path / "mod", (WIDTH, HEIGHT), onnx="tiny.onnx")


@pytest.fixture
def shown(vaststreamx: ModuleType) -> ModuleType:
    """The stand-in as it is when nobody has told it anything."""
    vaststreamx.refusals -= {name for name, rule in vaststreamx.RULES.items() if rule.shown}
    return vaststreamx


def noise(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def assert_answer(maps: Sequence[np.ndarray], picture: np.ndarray) -> None:
    seen = (picture[None].astype(np.float64) - 128) / 256
    for found in maps:
        expected = tiny_networks.answer(seen, len(found))[0]
        assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()  # float16


# What the public programs do ----------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 4])
def test_the_openpose_script_runs(shown: ModuleType, prefix: Path, batch: int) -> None:
    network = zoo_script.Network(
        shown, prefix, compiled_networks.params_beside(prefix), batch=batch
    )
    picture = noise(200, 100)
    maps = network.maps(picture)
    assert [one.shape for one in maps] == [(19, *CELLS), (38, *CELLS)]
    assert_answer(maps, cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


class _AsyncScript:
    """The class that some hundred scripts share: a reader from the start, ids, an event each."""

    def __init__(self, vsx: ModuleType, prefix: Path, *, named: bool, outputs: Any = None) -> None:
        self.vsx = vsx
        assert vsx.set_device(0) == 0
        model = vsx.Model(str(prefix), batch_size=1)
        self.operator = vsx.ModelOperator(model)
        params = str(compiled_networks.params_beside(prefix))
        self.operation = vsx.Operator.load_ops_from_json_file(params)[0]
        graph = vsx.Graph(vsx.GraphOutputType.GRAPH_OUTPUT_TYPE_NCHW_DEVICE)
        graph.add_operators(self.operation, self.operator)
        self.stream = vsx.Stream(graph, vsx.StreamBalanceMode.RUN)
        self.output = "out" if named else self.operator
        self.stream.register_operator_output(*([self.output] if named else []), self.operator)
        self.prepared = outputs is not None
        if self.prepared:
            self.stream.register_operator_output("in", self.operation, outputs)
        self.stream.build()
        self.count, self.events, self.results = 0, {}, {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        number = 0
        while True:
            try:
                if self.prepared:
                    (((seen,),),) = [self.stream.get_operator_output("in")]
                    assert self.vsx.as_numpy(seen).shape == (1, 3, HEIGHT, WIDTH)
                result = self.stream.get_operator_output(self.output)
            except ValueError:
                return
            self.results[number] = [self.vsx.as_numpy(tensor)[0] for tensor in result[0]]
            self.events[number].set()
            number += 1

    def image(self, picture: np.ndarray) -> Any:
        planes = np.stack(cv2.split(picture)[::-1])
        rgb = self.vsx.ImageFormat.RGB_PLANAR
        return self.vsx.create_image(
            array=planes, format=rgb, width=WIDTH, height=HEIGHT, device_id=0
        )

    def run(self, pictures: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        ids: queue.Queue[int | None] = queue.Queue(20)

        def feed() -> None:
            for picture in pictures:
                number = self.count
                self.events[number] = threading.Event()
                self.stream.run_async([self.image(picture)])
                self.count += 1
                ids.put(number)
            ids.put(None)

        feeder = threading.Thread(target=feed)
        feeder.start()
        found = []
        while (number := ids.get()) is not None:
            assert self.events[number].wait(30)
            found.append(self.results[number])
        feeder.join()
        return found

    def finish(self) -> None:
        self.stream.close_input()
        self.stream.wait_until_done()
        self.reader.join()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("prepared", [False, True])
def test_asynchronous_scripts_run(
    shown: ModuleType, prefix: Path, named: bool, prepared: bool
) -> None:
    shapes = [[(3, HEIGHT, WIDTH), shown.TypeFlag.FLOAT16]] if prepared else None
    script = _AsyncScript(shown, prefix, named=named, outputs=shapes)
    pictures = [noise() + np.uint8(k) for k in range(30)]
    for maps, picture in zip(script.run(pictures), pictures, strict=True):
        assert_answer(maps, picture)
    script.finish()


def test_their_synchronous_way_runs_while_the_reader_waits(shown: ModuleType, prefix: Path) -> None:
    script = _AsyncScript(shown, prefix, named=False)
    picture = noise()
    maps = script.stream.run_sync([script.image(picture)])[0]
    assert_answer([shown.as_numpy(tensor)[0] for tensor in maps], picture)
    script.finish()


def params(op_type: str, **changes: Any) -> dict[str, Any]:
    return compiled_networks.params(WIDTH, HEIGHT, **changes) | {"OpType": op_type}


@pytest.mark.parametrize(
    ("op_type", "changes", "run"),
    [
        (
            "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
            {"ResizeWidth": 80, "ResizeHeight": 60, "CropX": 8, "CropY": 6},
            {},
        ),
        (
            "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR",
            {"ResizeType": "BILINEAR_PILLOW", "ColorCvtCode": "NO_CHANGE", "NormaType": "DIV255"},
            {},
        ),
        ("FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR", {"Padding": [127, 127, 127]}, {}),
        (
            "FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR_EXT",
            {"Padding": [0, 0, 0]},
            {"rgb_letterbox_ext": [(48, 36, 6, 6, 8, 8)]},
        ),
        (
            "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
            {"NormaType": "DIV255_MINUSMEAN_DIVSTD"},
            {"crop_resize_ext": [(4, 2, 100, 70)]},
        ),
        (
            "FUSION_OP_YUV_NV12_RESIZE_2RGB_NORM_TENSOR",
            {"IimageFormat": "YUV_NV12", "ColorCvtCode": "YUV2RGB_NV12", "NormaType": "EQUAL"},
            {},
        ),
    ],
)
def test_every_kind_of_preprocessing_runs_on_pictures_of_any_size(
    shown: ModuleType, prefix: Path, op_type: str, changes: dict[str, Any], run: dict[str, Any]
) -> None:
    vsx = shown
    vsx.set_device(0)
    file = prefix.parent / "other.json"
    file.write_text(json.dumps(params(op_type, **changes)))
    (operation,) = vsx.Operator.load_ops_from_json_file(str(file))
    output = vsx.ModelOperator(vsx.Model(str(prefix), 1, ""))
    graph = vsx.Graph(do_copy=False)
    graph.add_operators(operation, output)
    stream = vsx.Stream(graph, vsx.StreamBalanceMode.RUN)
    stream.register_operator_output(output)
    stream.build()
    planes = np.ascontiguousarray(noise(120, 80).transpose(2, 0, 1))
    image = vsx.create_image(planes, vsx.ImageFormat.RGB_PLANAR, 120, 80, 0)
    number = operation.cast_to_buildin_operator().get_attribute(vsx.AttrKey.IIMAGE_FORMAT)
    image = vsx.cvtcolor(image, vsx.ImageFormat(number), vsx.ImageColorSpace.COLOR_SPACE_BT601)
    found = stream.run_sync([image], run) if run else stream.run_sync([image])
    shapes = [vsx.as_numpy(tensor).shape for tensor in found[0]]
    assert shapes == [(1, 19, *CELLS), (1, 38, *CELLS)]


def test_text_networks_run_on_lists_of_tensors(shown: ModuleType, tmp_path: Path) -> None:
    vsx = shown
    prefix = compiled_networks.write(
        tmp_path / "text", inputs=[[128], [128], [128]], outputs=[[768]]
    )
    vsx.set_device(0)
    for operations in ([], [vsx.Operator(vsx.OpType.BERT_EMBEDDING_OP)]):
        model = vsx.Model(str(prefix), 1)
        assert model.input_count == 3
        output = vsx.ModelOperator(model)
        graph = vsx.Graph(False)
        graph.add_operators(*operations, output)
        stream = vsx.Stream(graph, vsx.StreamBalanceMode.ONCE)
        stream.register_operator_output(output)
        stream.build()
        words = [vsx.from_numpy(np.zeros((1, 128), np.int32), 0) for _ in range(3)]
        ((found,),) = stream.run_sync([words])
        assert vsx.as_numpy(found).shape == (1, 768)
        assert found.clone(0).shape == [1, 768]


def test_dynamic_networks_are_told_their_shape_at_each_run(
    shown: ModuleType, tmp_path: Path
) -> None:
    vsx = shown
    tiny_networks.write(tmp_path / "tiny.onnx", {"heat": 19})
    prefix = compiled_networks.write(tmp_path / "mod", (64, 48), onnx="tiny.onnx", dynamic=True)
    vsx.set_device(0)
    model = vsx.Model(str(prefix.with_name("mod.json")))
    model.set_input_shape([[1, 3, 96, 128]])
    model.set_batch_size(1)
    output = vsx.ModelOperator(model)
    file = str(compiled_networks.params_beside(prefix))
    graph = vsx.Graph()
    graph.add_operators(vsx.Operator.load_ops_from_json_file(file)[0], output)
    stream = vsx.Stream(graph, vsx.StreamBalanceMode.ONCE)
    stream.register_operator_output(output)
    stream.build()
    planes = np.ascontiguousarray(noise().transpose(2, 0, 1))
    image = vsx.create_image(planes, vsx.ImageFormat.RGB_PLANAR, WIDTH, HEIGHT, 0)
    for height, width in ((96, 128), (32, 64)):
        shape = {"dynamic_model_input_shapes": [[[1, 3, height, width]]]}
        ((found,),) = stream.run_sync([image], shape)
        assert vsx.as_numpy(found).shape == (1, 19, height // 8, width // 8)
    with pytest.raises(ValueError, match="needs dynamic_model_input_shapes"):
        stream.run_sync([image])


def test_images_are_changed_on_the_device(shown: ModuleType) -> None:
    vsx = shown
    vsx.set_device(0)
    picture = noise(40, 20)
    image = vsx.create_image(picture, vsx.ImageFormat.BGR_INTERLEAVE, 40, 20, 0)
    bilinear = vsx.ImageResizeType.BILINEAR_CV
    resized = vsx.resize(image, bilinear, resize_width=20, resize_height=10)
    assert (resized.width, resized.height, resized.format) == (20, 10, image.format)
    assert np.array_equal(vsx.as_numpy(resized), cv2.resize(picture, (20, 10)))
    crop = vsx.crop(image, (4, 2, 8, 6))
    assert np.array_equal(vsx.as_numpy(crop), picture[2:8, 4:12])
    crops = vsx.batch_crop_resize(image, [[4, 2, 8, 6], [0, 0, 8, 6]], bilinear, 16, 12)
    assert np.array_equal(vsx.as_numpy(crops[0]), cv2.resize(picture[2:8, 4:12], (16, 12)))
    assert [one.width for one in vsx.scale(image, bilinear, [(10, 10), (6, 4)])] == [10, 6]
    constant = vsx.ImagePaddingType.PADDING_TYPE_CONSTANT
    bordered = vsx.resize_copy_make_border(
        image, bilinear, 20, 10, constant, [9, 9, 9], (1, 2, 3, 4)
    )
    assert vsx.as_numpy(bordered).shape == (13, 27, 3)
    planar = vsx.cvtcolor(image, vsx.ImageFormat.RGB_PLANAR)
    assert np.array_equal(vsx.as_numpy(planar), picture.transpose(2, 0, 1)[::-1])
    nv12 = vsx.cvtcolor(image, vsx.ImageFormat.YUV_NV12, vsx.ImageColorSpace.COLOR_SPACE_BT709)
    assert nv12.shape == [30, 40]
    grey = np.full((30, 40), 128, np.uint8)
    flat = vsx.create_image(grey, vsx.ImageFormat.YUV_NV12, 40, 20, 0)
    flipped = vsx.yuvflip(flat, vsx.ImageFlipType.FLIP_TYPE_X_AXIS)
    assert flipped.format is vsx.ImageFormat.YUV_NV12
    moved = vsx.warpaffine(image, [[1, 0, 2], [0, 1, 0]], None, None, (0, 0, 0))
    assert np.array_equal(vsx.as_numpy(moved)[:, 2:], picture[:, :-2])


def test_operators_of_samples_hold_attributes(shown: ModuleType, tmp_path: Path) -> None:
    vsx = shown
    vsx.set_device(0)
    operator = vsx.BuildInOperator(vsx.OpType.SINGLE_OP_RESIZE)
    operator.set_attribute({vsx.AttrKey.RESIZE_WIDTH: 32, vsx.AttrKey.RESIZE_HEIGHT: 16})
    assert operator.get_attribute(vsx.AttrKey.RESIZE_WIDTH) == 32
    assert operator.attributes.keys() == {"RESIZE_WIDTH", "RESIZE_HEIGHT"}
    assert operator.op_type < 100
    elf = tmp_path / "custom.elf"
    elf.touch()
    custom = vsx.CustomOperator(op_name="op", elf_file_path=str(elf))
    custom.set_config(config_bytes=b"1234", config_size=4)
    (found,) = custom.run_sync(
        tensors=[vsx.from_numpy(np.zeros((1, 2), np.float16), 0)],
        config=b"1234",
        output_info=[((1, 5), vsx.TypeFlag.FLOAT16)],
    )
    assert vsx.as_numpy(found).shape == (1, 5)


def test_cards_tell_of_their_dies(shown: ModuleType) -> None:
    cards = shown.get_all_cards()
    assert len(cards) == shown.get_all_cards_count()
    dies = [die.device_id for card in cards for die in card.dies]
    assert dies == list(range(shown.DIES))
    die = shown.Die(0)
    assert die.temperature["temperature"][0] > 0
    assert die.power["power"][3] > 0
    assert {*die.memory} == {"total", "free", "used", "usage_rate"}
    assert {*die.utilization} == {"ai", "vdsp", "vdmcu", "vemcu"}


def test_videos_are_read_frame_by_frame(shown: ModuleType, tmp_path: Path) -> None:
    vsx = shown
    vsx.set_device(0)
    file = videos.write(tmp_path / "a.mp4", [videos.barred(k) for k in range(3)])
    capture = vsx.VideoCapture(str(file), vsx.CaptureMode.FULLSPEED_MODE, 0, True)
    frames = 0
    while True:
        ok, image, _ = capture.read()
        if not ok:
            break
        assert image.format is vsx.ImageFormat.YUV_NV12
        frames += 1
    assert frames == 3


# What they do not ----------------------------------------------------------------------------


class _Card:
    """The calls of the vendor's script, each of which a mutation may replace or leave out."""

    def __init__(self, vsx: ModuleType, prefix: Path) -> None:
        self.vsx, self.prefix = vsx, prefix
        self.planes = np.zeros((3, HEIGHT, WIDTH), np.uint8)

    def graph(self, *, reverse: bool = False, batch: int = 1) -> tuple[Any, Any]:
        vsx = self.vsx
        output = vsx.ModelOperator(vsx.Model(str(self.prefix), batch))
        params = f"{self.prefix}.vdsp_params.json"
        operators = [*vsx.Operator.load_ops_from_json_file(params), output]
        graph = vsx.Graph()
        graph.add_operators(*(reversed(operators) if reverse else operators))
        return graph, output

    def stream(
        self, *, register: bool = True, build: bool = True, batch: int = 1
    ) -> tuple[Any, Any]:
        graph, output = self.graph(batch=batch)
        stream = self.vsx.Stream(graph, self.vsx.StreamBalanceMode.ONCE)
        if register:
            stream.register_operator_output(output)
        if build:
            stream.build()
        return stream, output

    def image(self, planes: np.ndarray | None = None, format: str = "RGB_PLANAR") -> Any:
        return self.vsx.create_image(
            self.planes if planes is None else planes,
            getattr(self.vsx.ImageFormat, format),
            WIDTH,
            HEIGHT,
            0,
        )

    def image_of(self, planes: np.ndarray) -> Any:
        rgb = self.vsx.ImageFormat.RGB_PLANAR
        return self.vsx.create_image(planes, rgb, *planes.shape[:0:-1], 0)

    def both(self) -> None:
        """Two threads in one stream, the first of which is held up."""
        stream, _ = self.stream()
        stream._model._spec["seconds"] = 0.5

        def run() -> None:
            self.vsx.set_device(0)
            stream.run_sync([self.image()])

        first = threading.Thread(target=run)
        first.start()
        while not stream._inside.locked():
            time.sleep(0.001)
        try:
            stream.run_sync([self.image()])
        finally:
            first.join()

    def elsewhere(self, call: Callable[[], Any]) -> Any:
        """Call from another thread, which has selected no device."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(call).result()

    def closed(self) -> Any:
        stream, _ = self.stream()
        stream.close_input()
        return stream

    def used(self) -> Any:
        stream, _ = self.stream()
        stream.run_sync([self.image()])
        return stream

    def on_other_die(self) -> Any:
        self.vsx.set_device(1)
        stream, _ = self.stream()
        self.vsx.set_device(0)
        image = self.image()
        self.vsx.set_device(1)
        return stream.run_sync([image])


# What is refused always. The names are those of the cases.
WRONG: Sequence[tuple[str, Callable[[_Card], Any]]] = [
    ("the model before the operation", lambda c: c.graph(reverse=True)),
    ("no operators", lambda c: c.vsx.Stream(c.vsx.Graph(), c.vsx.StreamBalanceMode.ONCE)),
    ("no mode", lambda c: c.vsx.Stream(c.graph()[0])),
    ("a number for the mode", lambda c: c.vsx.Stream(c.graph()[0], 0)),
    ("a path for the prefix", lambda c: c.vsx.Model(c.prefix, 1)),
    ("a prefix that is none", lambda c: c.vsx.Model(f"{c.prefix}.json", 1)),
    ("build before register", lambda c: c.stream(register=False)),
    ("register after build", lambda c: (lambda s: s[0].register_operator_output(s[1]))(c.stream())),
    ("run before build", lambda c: c.stream(build=False)[0].run_sync([c.image()])),
    ("run_async before build", lambda c: c.stream(build=False)[0].run_async([c.image()])),
    ("another's output", lambda c: c.stream()[0].get_operator_output(c.stream()[1])),
    ("an array for an image", lambda c: c.stream()[0].run_sync([c.planes])),
    ("an image for a list", lambda c: c.stream()[0].run_sync(c.image())),
    ("a batch that is too large", lambda c: c.stream()[0].run_sync([c.image(), c.image()])),
    ("floats", lambda c: c.image(c.planes.astype(np.float32))),
    ("an interleaved layout", lambda c: c.image(np.zeros((HEIGHT, WIDTH, 3), np.uint8))),
    ("an interleaved format", lambda c: c.image(format="BGR_INTERLEAVE")),
    ("one plane", lambda c: c.image(c.planes[:1])),
    (
        "height before width",
        lambda c: c.vsx.create_image(c.planes, c.vsx.ImageFormat.RGB_PLANAR, HEIGHT, WIDTH, 0),
    ),
    ("an image of another device", lambda c: c.on_other_die()),
    ("run after close", lambda c: c.closed().run_sync([c.image()])),
    ("run_async after close", lambda c: c.closed().run_async([c.image()])),
]


# What is refused under a rule, and taken without it: the rule, and a case.
BY_RULE: Sequence[tuple[str, Callable[[_Card], Any]]] = [
    ("contiguous arrays", lambda c: c.image(noise().transpose(2, 0, 1))),
    ("full batches", lambda c: c.stream(batch=2)[0].run_sync([c.image()])),
    ("own device", lambda c: c.elsewhere(lambda: c.vsx.Model(str(c.prefix), 1))),
    ("own device", lambda c: c.elsewhere(c.image)),
    (
        "own device",
        lambda c: (
            lambda graph: c.elsewhere(lambda: c.vsx.Stream(graph, c.vsx.StreamBalanceMode.ONCE))
        )(c.graph()[0]),
    ),
    (
        "own device",
        lambda c: (lambda stream, image: c.elsewhere(lambda: stream.run_sync([image])))(
            c.stream()[0], c.image()
        ),
    ),
    (
        "plain numbers",
        lambda c: c.vsx.create_image(
            c.planes, c.vsx.ImageFormat.RGB_PLANAR, np.int64(WIDTH), HEIGHT, 0
        ),
    ),
    ("even sides", lambda c: c.stream()[0].run_sync([c.image_of(np.zeros((3, 48, 63), np.uint8))])),
    (
        "the operation's format",
        lambda c: c.stream()[0].run_sync(
            [c.vsx.create_image(noise(), c.vsx.ImageFormat.BGR_INTERLEAVE, WIDTH, HEIGHT, 0)]
        ),
    ),
    (
        "the thread's device",
        lambda c: c.vsx.create_image(c.planes, c.vsx.ImageFormat.RGB_PLANAR, WIDTH, HEIGHT, 1),
    ),
    ("one thread a stream", lambda c: c.both()),
    ("one way a stream", lambda c: c.used().run_async([c.image()])),
    ("one build", lambda c: c.stream()[0].build()),
    ("one close", lambda c: c.closed().close_input()),
    ("one close", lambda c: c.stream()[0].wait_until_done()),
    ("types of tensors", lambda c: c.vsx.from_numpy(np.zeros(3, np.float64), 0)),
]


@pytest.mark.parametrize("call", [call for _, call in WRONG], ids=[name for name, _ in WRONG])
@pytest.mark.parametrize("lenient", [False, True])
def test_what_means_nothing_is_refused(
    vaststreamx: ModuleType, prefix: Path, call: Callable[[_Card], Any], lenient: bool
) -> None:
    if lenient:
        vaststreamx.lenient()
    with _refusal():
        call(_card(vaststreamx, prefix))


@pytest.mark.parametrize(("rule", "call"), BY_RULE, ids=[rule for rule, _ in BY_RULE])
def test_what_no_program_shows_is_refused_until_the_rule_is_lifted(
    vaststreamx: ModuleType, prefix: Path, rule: str, call: Callable[[_Card], Any]
) -> None:
    assert vaststreamx.refusals == vaststreamx.RULES.keys()
    with _refusal():
        call(_card(vaststreamx, prefix))
    vaststreamx.refusals.remove(rule)
    call(_card(vaststreamx, prefix))


def test_images_keep_looking_at_their_arrays_until_the_rule_is_lifted(
    vaststreamx: ModuleType, prefix: Path
) -> None:
    card = _card(vaststreamx, prefix)
    for looks in (True, False):
        if not looks:
            vaststreamx.refusals.remove("copied arrays")
        card.planes[:] = 0
        image = card.image()
        card.planes[:] = 200
        assert (vaststreamx.as_numpy(image).max() == 200) == looks


def test_every_rule_has_a_case(vaststreamx: ModuleType) -> None:
    assert {rule for rule, _ in BY_RULE} | {"copied arrays"} == vaststreamx.RULES.keys()


@pytest.mark.parametrize(
    ("asked", "rules"),
    [("", "RULES - shown"), ("all", "RULES"), ("none", "set()")],
)
def test_other_processes_are_told_by_their_environment(
    vaststreamx: ModuleType, asked: str, rules: str
) -> None:
    code = (
        "import vaststreamx as v; RULES = v.RULES.keys(); "
        "shown = {name for name, rule in v.RULES.items() if rule.shown}; "
        f"assert v.refusals == {rules}, v.refusals"
    )
    environment = {**os.environ, "VASTSTREAMX_REFUSES": asked}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def _card(vsx: ModuleType, prefix: Path) -> _Card:
    assert vsx.set_device(0) == 0
    card = _Card(vsx, prefix)
    stream, _ = card.stream()
    assert len(stream.run_sync([card.image()])) == 1  # nothing else is wrong
    return card


def _refusal() -> Any:
    """The stand-in's own words, which begin with the call or the argument."""
    return pytest.raises(
        (RuntimeError, TypeError, ValueError), match=r"^(\w+: |Stream\.__init__\(\)|\w+ must be )"
    )
