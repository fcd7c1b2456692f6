"""Pooled features of torchvision's ResNets under made-up weights.

Weights and picture are hashes of names and indices, which the test in
src/nn/resnet.rs makes again, so that only results need to be kept.
Run: python tests/reference/resnet.py > tests/reference/resnet.json
"""

import json

import numpy as np
import torch
import torchvision


def hashed(name, count):
    start = 0x811C9DC5
    for byte in name.encode():
        start = ((start ^ byte) * 0x01000193) & 0xFFFFFFFF
    h = (start + np.arange(count, dtype=np.uint64) * 0x9E3779B1) & 0xFFFFFFFF
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    h = (h ^ (h >> np.uint64(16))) >> np.uint64(8)
    return (h.astype(np.float32) / np.float32(1 << 23) - np.float32(1)).astype(np.float32)


def made_up(name, shape):
    u = hashed(name, int(np.prod(shape)))
    if len(shape) == 4:
        middle, reach = 0.0, (6.0 / (shape[1] * shape[2] * shape[3])) ** 0.5
    elif name.endswith("running_var"):
        middle, reach = 1.0, 0.5
    elif name.endswith("weight"):
        middle, reach = 0.5, 0.25
    else:
        middle, reach = 0.0, 0.1
    values = np.float32(middle) + np.float32(reach) * u
    return torch.from_numpy(values.reshape(shape))


def main():
    rows = []
    for model in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]:
        for channels in [3, 6]:
            net = getattr(torchvision.models, model)(weights=None)
            net.fc = torch.nn.Identity()
            state = {
                k: v if k.endswith("num_batches_tracked") else made_up(k, tuple(v.shape))
                for k, v in net.state_dict().items()
            }
            if channels != 3:
                stem = state["conv1.weight"]
                net.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
                repeated = stem.repeat(1, (channels + 2) // 3, 1, 1)[:, :channels]
                state["conv1.weight"] = repeated * 3.0 / channels
            net.load_state_dict(state)
            net.eval()
            picture = torch.from_numpy(hashed("input", channels * 64 * 64))
            with torch.no_grad():
                y = net(picture.reshape(1, channels, 64, 64))[0].double()
            rows.append(
                {
                    "model": model,
                    "channels": channels,
                    "sum": y.sum().item(),
                    "sum_of_squares": (y * y).sum().item(),
                    "every_16th": [round(v, 7) for v in y[::16].tolist()],
                }
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
