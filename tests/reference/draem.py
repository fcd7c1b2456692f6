"""Expected values for goma's anomaly model, from the published DRAEM's definitions.

Runs noise, losses and both networks of the original PyTorch code, rebuilt in draem_networks.py, and
writes draem.json. Needs numpy and torch:  python draem.py
"""
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from draem_networks import Discriminative, Reconstructive, focal_loss, perlin, ssim_loss

rng = np.random.default_rng(0)


def formula(name, shape):
    """Weights both sides can make from a parameter's name: no file of weights is needed."""
    h = 2166136261
    for b in name.encode():
        h = ((h ^ b) * 16777619) & 0xFFFFFFFF
    n = int(np.prod(shape))
    i = (np.arange(n, dtype=np.uint64) * 2654435761 + h) & 0xFFFFFFFF
    i = ((i ^ (i >> 15)) * 2246822519) & 0xFFFFFFFF
    u = ((i ^ (i >> 13)) & 0xFFFF).astype(np.float64) / 65535.0 - 0.5
    if name.endswith("running_var"):
        return 1.0 + u
    if name.endswith("running_mean") or name.endswith("bias"):
        return 0.2 * u
    if len(shape) == 1:
        return 1.0 + 0.4 * u
    return u * math.sqrt(12.0 * 2.0 / (shape[1] * shape[2] * shape[3]))


def fill(net):
    with torch.no_grad():
        for name, t in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                t.copy_(torch.tensor(formula(name, tuple(t.shape))).reshape(t.shape))


def numbers(t):
    return [float(f"{v:.9g}") for v in t.detach().double().flatten().tolist()]


out = {}
angles = 2 * math.pi * rng.random((3, 5))
out["perlin"] = {"angles": numbers(torch.tensor(angles)),
                 "noise": numbers(torch.tensor(perlin((8, 16), (2, 4), angles)))}
x = torch.tensor(rng.random((2, 3, 16, 12)), dtype=torch.float32, requires_grad=True)
y = torch.tensor(rng.random((2, 3, 16, 12)), dtype=torch.float32)
out["x"], out["y"] = numbers(x), numbers(y)
for name, loss in (("l2", F.mse_loss), ("ssim", ssim_loss)):
    value = loss(x, y)
    (g,) = torch.autograd.grad(value, x)
    out[name] = {"loss": float(value), "gradient": numbers(g)}
p = torch.softmax(torch.tensor(rng.normal(size=(2, 2, 6, 5)), dtype=torch.float32), 1).requires_grad_()
p.retain_grad()
mask = torch.tensor(rng.random((2, 1, 6, 5)) > 0.6).float()
value = focal_loss(p, mask)
(g,) = torch.autograd.grad(value, p)
out["p"], out["mask"] = numbers(p), numbers(mask)
out["focal"] = {"loss": float(value), "gradient": numbers(g)}

# Double precision and a size at which batch norm has many values: what is compared is
# the definition, not the rounding of two implementations.
channels, size = 3, 64
reconstructive, discriminative = Reconstructive(channels, 4), Discriminative(2 * channels, 3)
fill(reconstructive.double())
fill(discriminative.double())
shape = (4, channels, size, size)
image = torch.tensor(10 * formula("image.weight", shape)).reshape(shape).clamp(-0.5, 0.5) + 0.5
reconstructive.eval(), discriminative.eval()
restored = reconstructive(image)
maps = torch.softmax(discriminative(torch.cat((restored, image), 1)), 1)[:, 1]
out["network"] = {"restored": numbers(restored[0, 0, ::8, ::8]), "map": numbers(maps[:, ::8, ::8])}

# One training step: the losses and the norm of every gradient. The shift of every batch norm is
# raised by 3 so that few values lie near ReLU's kink: there single and double precision part ways
# (PyTorch's own gradients by 10% in the deepest layers), and the comparison would show only that.
with torch.no_grad():
    for net in (reconstructive, discriminative):
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.bias += 3
reconstructive.train(), discriminative.train()
restored = reconstructive(image)
probabilities = torch.softmax(discriminative(torch.cat((restored, image), 1)), 1)
target = (image[:, :1] > 0.5).double()
losses = [F.mse_loss(restored, image), ssim_loss(restored, image), focal_loss(probabilities, target)]
sum(losses).backward()
out["step"] = {
    "losses": [float(v) for v in losses],
    "gradient_norms": {
        **{f"reconstructive.{k}": float(v.grad.norm()) for k, v in reconstructive.named_parameters()},
        **{f"discriminative.{k}": float(v.grad.norm()) for k, v in discriminative.named_parameters()},
    },
}
Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=None, separators=(",", ":")))
