"""The original networks, thinner and with random weights, as their public files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

THIN = 16  # hidden channels are divided by it


def random(network: Any, seed: int = 1) -> Any:
    """Draw weights that keep a picture's contrast through all the layers."""
    import torch

    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, torch.nn.PReLU):
            torch.nn.init.normal_(module.weight, 0, 0.3)
    return network.eval().requires_grad_(False)


def write(file: Path, kind: str = "body", thin: int = THIN) -> Path:
    """Write random weights of "body", "body_25", "hand" or "face" in the original format."""
    from openpose_ext.models.convert.original import (
        Body25Net,
        BodyNet,
        FaceNet,
        HandNet,
    )
    from openpose_ext.models.convert.original_weights import save_weights

    networks = {"body": BodyNet, "body_25": Body25Net, "hand": HandNet, "face": FaceNet}
    save_weights(random(networks[kind](thin=thin)), file)
    return file
