"""Maps that a torch network makes, decoded: the network here is a stand-in with random weights."""

import torch

import openpose_ext as op


class Network(torch.nn.Module):
    """Takes (N, 3, H, W), gives heat maps (N, 19, H/8, W/8) and fields (N, 38, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(3, 16, 8, stride=8)
        self.heat, self.paf = torch.nn.Conv2d(16, 19, 1), torch.nn.Conv2d(16, 38, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.features(pictures))
        return self.heat(features), self.paf(features)


def main() -> list[op.Poses]:
    torch.manual_seed(0)
    network = Network().eval()
    with torch.inference_mode():
        heat, paf = network(torch.rand(4, 3, 184, 256))
    # One call for the batch, on all cores; maps are taken as they are, without a copy.
    people = op.decode_bodies(list(zip(heat.numpy(), paf.numpy(), strict=True)))
    print([len(poses) for poses in people])
    return people


if __name__ == "__main__":
    main()
