"""The original networks: the tables, the arithmetic, and the files of weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import caffe_networks
from caffe_networks import NETWORKS, Prototxt, encoded, named
from openpose_ext.errors import ModelError
from original_networks import THIN, random, write

torch = pytest.importorskip("torch", reason="torch is not installed")

from openpose_ext.models.convert.original import (  # noqa: E402
    Body25Net,
    BodyNet,
    FaceNet,
    HandNet,
)
from openpose_ext.models.convert.original_weights import (  # noqa: E402
    load_body,
    load_hand,
    load_network,
    save_weights,
)

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    # Layers as small as these lose more by waiting for each other than they win.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def body(tmp_path: Path) -> Path:
    return write(tmp_path / "body.pth")


def convolutions(network: torch.nn.Module) -> dict[str, torch.nn.Conv2d]:
    return {
        name.split(".")[-1]: module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }


def changed(file: Path, change: object) -> Path:
    """A file with other weights: `change` takes the dictionary."""
    weights = torch.load(file, weights_only=True)
    change(weights)  # type: ignore[operator]
    torch.save(weights, file)
    return file


# The networks, and the descriptions that tests have of them.
CLASSES = {"body_25": Body25Net, "coco": BodyNet, "face": FaceNet, "hand": HandNet}


@pytest.mark.parametrize(
    ("network", "parameters", "tensors", "layers", "relus", "slopes"),
    [
        (BodyNet, 52_311_446, 184, 92, 80, 0),
        (Body25Net, 26_166_084, 327, 114, 9, 99),
        (HandNet, 36_832_324, 104, 52, 46, 0),
        (FaceNet, 38_425_706, 104, 52, 46, 0),
    ],
)
def test_the_tables_have_the_originals_layers(
    network: type, parameters: int, tensors: int, layers: int, relus: int, slopes: int
) -> None:
    with torch.device("meta"):
        made = network()
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert len(made.state_dict()) == tensors
    assert len(convolutions(made)) == layers
    assert sum(isinstance(m, torch.nn.ReLU) for m in made.modules()) == relus
    assert sum(isinstance(m, torch.nn.PReLU) for m in made.modules()) == slopes


@pytest.mark.parametrize("kind", NETWORKS)
def test_names_and_shapes_are_those_of_the_prototxt(kind: str) -> None:
    with torch.device("meta"):
        made = CLASSES[kind]()
    found = {".".join(k.split(".")[-2:]): tuple(v.shape) for k, v in made.state_dict().items()}
    assert len(found) == len(made.state_dict())
    described = {
        f"{layer.name}.{what}": shape
        for layer in NETWORKS[kind]().layers
        for what, shape in zip(("weight", "bias"), layer.shapes, strict=False)
    }
    assert found == described


def test_layers_have_the_originals_shapes() -> None:
    with torch.device("meta"):
        body, hand = convolutions(BodyNet()), convolutions(HandNet())
    assert tuple(body["conv1_1"].weight.shape) == (64, 3, 3, 3)
    assert tuple(body["Mconv1_stage2_L1"].weight.shape) == (128, 185, 7, 7)
    assert tuple(body["Mconv7_stage6_L1"].weight.shape) == (38, 128, 1, 1)
    assert tuple(body["conv5_5_CPM_L2"].weight.shape) == (19, 512, 1, 1)
    assert tuple(hand["Mconv1_stage2"].weight.shape) == (128, 150, 7, 7)
    assert tuple(hand["conv6_2_CPM"].weight.shape) == (22, 512, 1, 1)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (184, 184), (24, 200)])
def test_any_multiple_of_eight_gives_an_eighth(height: int, width: int) -> None:
    picture = torch.zeros(2, 3, height, width)
    paf, heat = BodyNet(thin=THIN)(picture)
    paf_25, heat_25 = Body25Net(thin=THIN)(picture)
    hand = HandNet(thin=THIN)(picture)
    for maps, channels in ((paf, 38), (heat, 19), (paf_25, 52), (heat_25, 26), (hand, 22)):
        assert tuple(maps.shape) == (2, channels, height // 8, width // 8)


def test_a_stage_sees_fields_heat_and_features_in_this_order() -> None:
    network = random(BodyNet(thin=THIN))
    seen = {}
    network.get_submodule("model2_1").register_forward_hook(
        lambda module, inputs, output: seen.update(stage=inputs[0])
    )
    picture = torch.rand(1, 3, 16, 16)
    network(picture)
    features = network.get_submodule("model0")(picture)
    paf = network.get_submodule("model1_1")(features)
    heat = network.get_submodule("model1_2")(features)
    assert torch.equal(seen["stage"], torch.cat([paf, heat, features], 1))


def test_the_stray_relu_cuts_the_last_heat_maps_and_nothing_else(body: Path) -> None:
    picture = torch.rand(1, 3, 32, 32)
    paf, heat = load_body(body)(picture)
    seed_paf, seed_heat = load_body(body, relu_heat=True)(picture)
    assert heat.min() < 0
    assert torch.equal(seed_paf, paf)
    assert torch.equal(seed_heat, heat.clamp(min=0))


def test_a_file_gives_the_network_it_was_made_from(tmp_path: Path) -> None:
    picture = torch.rand(1, 3, 24, 16)
    for kind, network, load in (
        ("body", BodyNet, load_body),
        ("body", Body25Net, None),
        ("hand", HandNet, load_hand),
    ):
        made = random(network(thin=THIN))
        save_weights(made, tmp_path / "a.pth")
        expected = made(picture)
        kind_found, found = load_network(tmp_path / "a.pth")
        assert (kind_found, type(found)) == (kind, network)
        for one in (found, *([load(tmp_path / "a.pth")] if load else [])):
            for a, b in zip(one(picture), expected, strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("prefix", ["", "model0.", "module.model0."])
@pytest.mark.parametrize("legacy", [False, True])
def test_prefixes_and_the_old_file_format_are_understood(
    body: Path, prefix: str, legacy: bool
) -> None:
    weights = torch.load(body, weights_only=True)
    named = {f"{prefix}{key}": value.half() for key, value in weights.items()}
    torch.save(named, body, _use_new_zipfile_serialization=not legacy)
    found = load_body(body).state_dict()
    assert found["model0.conv1_1.weight"].dtype == torch.float32
    assert torch.equal(found["model0.conv1_1.weight"].half(), weights["conv1_1.weight"].half())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("Mconv7_stage6_L2.bias"),
            r"the original COCO network: missing: Mconv7_stage6_L2\.bias$",
        ),
        (
            lambda w: w.update({"fc.weight": torch.zeros(1)}),
            r"not part of it: fc\.weight$",
        ),
        (
            lambda w: w.update({"conv2_1.bias": torch.zeros(5)}),
            r"of another shape: conv2_1\.bias \(5,\) instead of \(8,\)$",
        ),
        (
            lambda w: [w.pop(key) for key in list(w) if "stage6" in key],
            r"missing: Mconv1_stage6_L1\.weight, .* and 24 more$",
        ),
        (
            lambda w: w.update({"model0.conv1_1.weight": w["conv1_1.weight"]}),
            r"has conv1_1\.weight twice",
        ),
        (
            lambda w: w["conv2_2.weight"].view(-1)[3:4].fill_(torch.nan),
            r"not finite: conv2_2\.weight$",
        ),
        (lambda w: w.update(epoch=3), "not tensors by name"),
    ],
)
def test_keys_that_do_not_fit_are_named(body: Path, change: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_body(changed(body, change))


def test_a_file_of_the_other_network_is_refused(body: Path) -> None:
    with pytest.raises(ModelError, match=r"original hand network: missing: conv4_3\.weight"):
        load_hand(body)


def safetensors(entries: dict[str, tuple[int, list[int], int] | None]) -> bytes:
    """A file of tensors of type F32: how many bytes each has, its shape, how many it says."""
    places = {
        name: entry and {"dtype": "F32", "shape": entry[1], "data_offsets": [0, entry[2]]}
        for name, entry in entries.items()
    }
    head = json.dumps(places).encode()
    return struct.pack("<Q", len(head)) + head + bytes(sum(e[0] for e in entries.values() if e))


class Unwanted:
    """Something that only a file that runs code can hold."""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"no network", "cannot be read as torch weights"),
        (b"PK\x03\x04 cut short", "cannot be read as torch weights"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
        (b"\x40\0\0\0\0\0\0\0{}", "it ends within its header"),
        (safetensors({"a": (4, [2], 8)}), "does not fit its position"),
        (safetensors({"a": (4, [1 << 60, 1 << 60], 8)}), "does not fit its position"),
        (safetensors({"a": None}), "the position of a is missing"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "a.pth"
    with pytest.raises(ModelError, match="there is no network file"):
        load_body(file)
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"a\.pth .*{reason}"):
        load_body(file)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "net", "params", "weights"])
def test_weights_are_found_in_what_programs_wrap_them_in(body: Path, wrapper: str) -> None:
    content = torch.load(body, weights_only=True)
    torch.save({"epoch": 3, wrapper: content}, body)
    found = load_body(body).state_dict()
    assert all(any(torch.equal(value, one) for one in found.values()) for value in content.values())


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_safetensors_are_read_under_any_name(
    tmp_path: Path, body: Path, name: str, dtype: str
) -> None:
    content = torch.load(body, weights_only=True)
    kind = {"F32": np.float32, "F16": np.float16}[dtype]
    arrays = {key: value.numpy().astype(kind) for key, value in content.items()}
    places, data = {"__metadata__": {"format": "pt"}}, b""
    for key, array in arrays.items():
        end = len(data) + array.nbytes
        places[key] = {
            "dtype": dtype,
            "shape": [*array.shape],
            "data_offsets": [len(data), end],
        }
        data += array.tobytes()
    head = json.dumps(places).encode()
    file = tmp_path / name
    file.write_bytes(struct.pack("<Q", len(head)) + head + data)
    first = load_body(file).get_submodule("model0")[0].weight.numpy()
    np.testing.assert_array_equal(first, arrays["conv1_1.weight"].astype(np.float32))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (lambda: torch.empty(1 << 30, 1 << 30, device="meta"), "no values"),
        (lambda: torch.sparse_coo_tensor(size=(1 << 20, 1 << 20), check_invariants=True), "sparse"),
        (lambda: torch.zeros(1).expand(1 << 40), "made of fewer values"),
    ],
)
def test_tensors_that_are_larger_than_their_file_are_refused_by_name(
    body: Path, odd: Callable[[], object], reason: str
) -> None:
    file = changed(body, lambda weights: weights.update({"conv1_1.weight": odd()}))
    with pytest.raises(ModelError, match=rf"conv1_1\.weight .*{reason}"):
        load_body(file)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"conv1_1.weight": Unwanted()}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="it holds Python objects") as caught:
        load_body(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)


def test_convolutions_are_numpys(body: Path) -> None:
    # The first layer and its ReLU, by hand: stride 1, one pixel of zeros around, a bias.
    network = load_body(body)
    first = network.get_submodule("model0")[0]
    picture = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    expected = np.einsum("chwij,kcij->khw", windows, first.weight.numpy())
    expected += first.bias.numpy()[:, None, None]
    found = first(torch.from_numpy(picture)[None])[0].numpy()
    assert np.abs(found - expected).max() < 1e-5


# Other people's files ------------------------------------------------------------------------


def outputs(network: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The network's maps as Caffe's `net_output` has them: heat maps, then fields."""
    values = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 256 - 0.5
    found = network(torch.from_numpy(values))
    return (found if isinstance(found, torch.Tensor) else torch.cat(found[::-1], 1)).numpy()


def assert_same_maps(
    network: torch.nn.Module, net: Prototxt, weights: caffe_networks.Weights
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), np.uint8)
    expected = net.run(weights, pictures)["net_output"]
    found = outputs(network, pictures)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_caffemodel_gives_the_maps_of_its_prototxt(kind: str, tmp_path: Path) -> None:
    weights = caffe_networks.write(tmp_path / "a.caffemodel", kind)
    found, network = load_network(tmp_path / "a.caffemodel")
    assert (found, type(network)) == (kind if kind in ("face", "hand") else "body", CLASSES[kind])
    assert_same_maps(network, NETWORKS[kind](THIN), weights)


def test_the_old_form_gives_the_same_network(tmp_path: Path) -> None:
    net = NETWORKS["body_25"](32)
    weights = caffe_networks.random(net)
    (tmp_path / "a.caffemodel").write_bytes(encoded(net, weights, old=True))
    assert_same_maps(load_network(tmp_path / "a.caffemodel")[1], net, weights)


def test_coco_from_caffe_and_from_torch_are_one_network(tmp_path: Path) -> None:
    weights = named(caffe_networks.write(tmp_path / "a.caffemodel", "coco"))
    torch.save({key: torch.from_numpy(value) for key, value in weights.items()}, tmp_path / "a.pth")
    ours, theirs = (load_network(tmp_path / f"a.{end}")[1] for end in ("caffemodel", "pth"))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


def prefixed(key: str) -> str:
    """A key of `body_25.pth`, the port of its own modules."""
    layer, kind = key.split(".")
    block, *rest = layer.replace("Mprelu", "Mconv").split("_")
    if not block.startswith("Mconv"):
        return f"model0.{layer}.{kind}"
    stage = "_".join(rest[:2])
    if block in ("Mconv6", "Mconv7"):
        return f"models.Mconv6_7_{stage}.{int(block == 'Mconv7')}.{layer}.{kind}"
    return f"models.{block}_{stage}.{rest[2]}.{layer}.{kind}"


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights,
        lambda weights: {prefixed(key): value for key, value in weights.items()},
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": {f"module.{key}": value for key, value in weights.items()}},
        lambda weights: {
            key: value.view(1, -1, 1, 1) if "prelu" in key else value
            for key, value in weights.items()
        },
    ],
    ids=["flat", "prefixed", "wrapped", "data-parallel", "slopes of four dimensions"],
)
def test_the_ports_keys_all_give_body_25(
    change: Callable[[dict[str, torch.Tensor]], dict[str, object]], tmp_path: Path
) -> None:
    net = NETWORKS["body_25"](THIN)
    weights = caffe_networks.random(net)
    tensors = {key: torch.from_numpy(value) for key, value in named(weights).items()}
    torch.save(change(tensors), tmp_path / "a.pth")
    assert_same_maps(load_network(tmp_path / "a.pth")[1], net, weights)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (caffe_networks.coco(32, heat=16, paf=28, first=128), "original COCO .*MPI network"),
        (caffe_networks.small(), r"original BODY_25 network: missing: conv1_2\.weight"),
    ],
    ids=["MPI", "foreign"],
)
def test_caffes_other_networks_are_refused_by_name(
    net: Prototxt, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.caffemodel").write_bytes(encoded(net, caffe_networks.random(net)))
    with pytest.raises(ModelError, match=message):
        load_network(tmp_path / "a.caffemodel")


def test_a_layer_beside_the_network_is_warned_of(tmp_path: Path) -> None:
    net = NETWORKS["hand"](32)
    net.convolution("net_output", "Mconv8", 1, 5)
    weights = caffe_networks.random(net)
    (tmp_path / "a.caffemodel").write_bytes(encoded(net, weights))
    with pytest.warns(UserWarning, match=r"not used: Mconv8\.weight, Mconv8\.bias"):
        _, network = load_network(tmp_path / "a.caffemodel")
    assert_same_maps(network, net, weights)


def test_what_caffe_lacks_or_is_no_number_is_named(tmp_path: Path) -> None:
    net = NETWORKS["body_25"](32)
    weights = caffe_networks.random(net)
    del weights["Mprelu3_stage2_L2_1"]
    weights["Mconv6_stage1_L1"][1][2] = np.inf
    (tmp_path / "a.caffemodel").write_bytes(encoded(net, weights))
    with pytest.raises(
        ModelError,
        match=r"original BODY_25 network: missing: Mprelu3_stage2_L2_1\.weight; "
        r"not finite: Mconv6_stage1_L1\.bias$",
    ):
        load_network(tmp_path / "a.caffemodel")
