"""The original networks: the tables, the arithmetic, and the files of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openpose_ext.errors import ModelError
from original_networks import THIN, random, write

torch = pytest.importorskip("torch", reason="torch is not installed")

from openpose_ext.models.nets import (  # noqa: E402
    BodyNet,
    HandNet,
    load_body,
    load_hand,
    load_network,
    save_weights,
)


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


@pytest.mark.parametrize(
    ("network", "parameters", "layers", "relus"),
    [(BodyNet, 52_311_446, 92, 80), (HandNet, 36_832_324, 52, 46)],
)
def test_the_tables_have_the_originals_layers(
    network: type, parameters: int, layers: int, relus: int
) -> None:
    with torch.device("meta"):
        made = network()
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert len(convolutions(made)) == layers
    assert sum(isinstance(m, torch.nn.ReLU) for m in made.modules()) == relus


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
    hand = HandNet(thin=THIN)(picture)
    for maps, channels in ((paf, 38), (heat, 19), (hand, 22)):
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
    for kind, network, load in (("body", BodyNet, load_body), ("hand", HandNet, load_hand)):
        made = random(network(thin=THIN))
        save_weights(made, tmp_path / "a.pth")
        expected = made(picture)
        for found in (load(tmp_path / "a.pth"), load_network(tmp_path / "a.pth")[1]):
            for a, b in zip(found(picture), expected, strict=True):
                assert torch.equal(a, b)
        assert load_network(tmp_path / "a.pth")[0] == kind


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
            r"the original body network: missing: Mconv7_stage6_L2\.bias$",
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
        (lambda w: w.update(epoch=3), "not tensors by name"),
    ],
)
def test_keys_that_do_not_fit_are_named(body: Path, change: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_body(changed(body, change))


def test_a_file_of_the_other_network_is_refused(body: Path) -> None:
    with pytest.raises(ModelError, match=r"original hand network: missing: conv4_3\.weight"):
        load_hand(body)


class Unwanted:
    """Something that only a file that runs code can hold."""


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04 cut short"])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.pth"
    with pytest.raises(ModelError, match="there is no network file"):
        load_body(file)
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.pth cannot be read as torch weights"):
        load_body(file)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"conv1_1.weight": Unwanted()}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="cannot be read as torch weights"):
        load_body(tmp_path / "a.pth")


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
