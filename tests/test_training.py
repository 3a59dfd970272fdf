"""The recipe of the embedded networks, in small: it learns, goes on, and exports what it learnt."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

# The exporter that is used is torch's older one, which says so.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RECIPE = Path(__file__).parents[1] / "training"
SHAPE = {
    "at2": 8, "at4": 12, "at8": 16, "at16": 24,
    "blocks16": 1, "refinement": 1, "maps": 57, "background": 18,
}  # fmt: skip
STEPS = 150


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the recipe, which are no package."""
    monkeypatch.syspath_prepend(str(RECIPE))
    import train

    yield train
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(RECIPE)):
            del sys.modules[name]


def write_canvases(folder: Path, part: str, count: int) -> None:
    """Canvases with a bright square each, whose middle is the nose."""
    rng = np.random.default_rng(count)
    images = np.zeros((count, 320, 320, 3), np.uint8)
    maps = np.zeros((count, 57, 40, 40), np.int8)
    maps[:, 18] = 120
    cells = np.arange(40)
    for k, (x, y) in enumerate(rng.integers(8, 32, (count, 2))):
        images[k, 8 * y - 20 : 8 * y + 28, 8 * x - 20 : 8 * x + 28] = 255
        peak = np.exp(-((cells[:, None] - y) ** 2 + (cells - x) ** 2) / 2)
        maps[k, 0] = 120 * peak
        maps[k, 18] = 120 * (1 - peak)
    np.save(folder / f"{part}_img.npy", images)
    np.save(folder / f"{part}_map.npy", maps)
    (folder / f"{part}.json").write_text(json.dumps({"n": count}))


def training(recipe: Any, folder: Path, out: Path) -> Any:
    from datasets import BodyData
    from networks import Shape

    task = replace(recipe.TASKS["body"], shape=Shape(**SHAPE), batch=4, sides=(128, 128))
    out.mkdir(exist_ok=True)
    data, held_out = BodyData(folder, ["0"]), BodyData(folder, ["val"])
    return recipe.Training(task, data, held_out, out, seed=1)


def test_the_loss_falls_from_scratch_and_on_from_a_checkpoint_and_an_exported_file(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import export
    import torch

    write_canvases(tmp_path, "0", 24)
    write_canvases(tmp_path, "val", 8)
    first = training(recipe, tmp_path, tmp_path / "first")
    first.begin(None)
    untrained, _ = first.validate()
    losses = first.run(STEPS, every=10, compiled=False)
    trained, height = first.validate()
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert trained < 0.7 * untrained

    resumed = training(recipe, tmp_path, tmp_path / "first")
    resumed.begin(None)
    resumed.resume()
    assert resumed.validate() == (trained, height)
    assert len(resumed.run(2 * STEPS, every=10, compiled=False)) == STEPS
    better, _ = resumed.validate()
    assert better < trained

    monkeypatch.setitem(export.SHAPES, "body", first.task.shape)
    weights = torch.load(tmp_path / "first" / "ema.pt")
    exported = export.export("body", weights, tmp_path)[1]
    again = training(recipe, tmp_path, tmp_path / "again")
    again.begin(exported)
    assert again.validate()[0] == pytest.approx(better, rel=0.1)
    again.run(STEPS, every=10, compiled=False)
    assert again.validate()[0] < better


def test_a_wider_network_begins_as_the_one_it_was_made_from(recipe: Any) -> None:
    import torch
    from networks import Maps, Shape, fitted

    torch.manual_seed(0)
    small = Maps(Shape(**SHAPE))
    wide = Maps(Shape(**{**SHAPE, "at4": 16, "at8": 24, "refinement": 2}))
    with torch.no_grad():
        small.head2.weight.normal_()
    wide.load_state_dict(fitted(small.state_dict(), wide))
    pictures = torch.rand(1, 3, 64, 72) * 255
    with torch.no_grad():
        expected, found = (net.eval()(pictures) for net in (small, wide))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
