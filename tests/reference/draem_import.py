"""Checkpoints as the original DRAEM leaves them, and what PyTorch makes of them.

Trains both networks (widths 2 and 1) for a moment, so that their maps say something, and writes
draem_seg_rec.pckl and draem_seg_dis.pckl (torch.save of the state dictionaries), draem_import.json
(restored image, map and score of one picture, losses of one step) and draem_gradients.safetensors
(that step's gradients). Needs numpy and torch:  python draem_import.py
"""
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from draem_networks import Discriminative, Reconstructive, focal_loss, ssim_loss

HERE = Path(__file__).parent
SIZE = 256


def picture(size=SIZE, dent=True):
    """[size, size, 3] bytes, red first; made of whole numbers, so that goma's tests can make it too."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    values = 90 + 20 * c + (x * (c + 2) + y * 3) // 8 % 64
    dented = (y - 100) ** 2 + (x - 150) ** 2 < 900
    return np.where(dented & dent, 255 - values, values).astype(np.uint8)


def as_original(picture):
    """What the original's test code feeds: OpenCV's order, blue first, in 0..1."""
    return torch.tensor(picture[:, :, ::-1].astype(np.float32) / 255.0).permute(2, 0, 1)[None]


torch.manual_seed(0)
torch.set_num_threads(1)
reconstructive, discriminative = Reconstructive(3, 2), Discriminative(6, 1)
for net in (reconstructive, discriminative):
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
optimiser = torch.optim.Adam([*reconstructive.parameters(), *discriminative.parameters()], lr=3e-3)
good = as_original(picture(dent=False))[:, :, :128, :128]
for step in range(150):
    shift = [tuple(torch.randint(0, 128, (2,)).tolist()) for _ in range(4)]
    batch = torch.cat([good.roll(s, (2, 3)) for s in shift])
    mask = torch.zeros(4, 1, 128, 128)
    for i in range(0, 4, 2):
        top, left, h, w = torch.randint(8, 64, (4,)).tolist()
        mask[i, :, top:top + h, left:left + w] = 1
    defective = batch * (1 - mask) + mask * (1 - batch)
    restored = reconstructive(defective)
    classes = torch.softmax(discriminative(torch.cat((restored, defective), 1)), 1)
    loss = F.mse_loss(restored, batch) + ssim_loss(restored, batch) + focal_loss(classes, mask)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
torch.save(reconstructive.state_dict(), HERE / "draem_seg_rec.pckl")
torch.save(discriminative.state_dict(), HERE / "draem_seg_dis.pckl")


def numbers(t):
    return [float(f"{v:.9g}") for v in t.detach().double().flatten().tolist()]


# As the original's test code: softmax, the defect's channel, 21 x 21 mean, its maximum.
out = {}
reconstructive.eval(), discriminative.eval()
with torch.no_grad():
    image = as_original(picture())
    restored = reconstructive(image)
    mask = torch.softmax(discriminative(torch.cat((restored, image), 1)), 1)[:, 1:]
    averaged = F.avg_pool2d(mask, 21, stride=1, padding=21 // 2)
out["restored"] = numbers(restored[0, :, ::16, ::16])
out["map"] = numbers(mask[0, 0, ::4, ::4])
out["score"] = float(averaged.max())

# One training step, in double precision: what is compared is the definition. The shift of every
# batch norm is raised by 2 and the images are noise, so that few values lie near ReLU's kink and no
# two in a pooling window are alike: there single and double precision part ways, PyTorch's own as well.
def noise(n, channels, size):
    i = np.arange(n * channels * size * size, dtype=np.uint64)
    i = (i * 2654435761) & 0xFFFFFFFF
    i = ((i ^ (i >> 15)) * 2246822519) & 0xFFFFFFFF
    values = ((i ^ (i >> 13)) & 0xFFFF).astype(np.float64) / 65535.0
    return torch.tensor(values).reshape(n, channels, size, size)


def step(image):
    restored = reconstructive(image)
    classes = torch.softmax(discriminative(torch.cat((restored, image), 1)), 1)
    target = (image[:, :1] > 0.5).to(image.dtype)
    losses = [F.mse_loss(restored, image), ssim_loss(restored, image), focal_loss(classes, target)]
    names = [f"{net}.{name}" for net, module in NETS for name, _ in module.named_parameters()]
    parameters = [p for _, module in NETS for p in module.parameters()]
    return losses, dict(zip(names, torch.autograd.grad(sum(losses), parameters)))


NETS = (("reconstructive", reconstructive), ("discriminative", discriminative))
for _, net in NETS:
    net.double().train()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.bias.data += 2
losses, gradients = step(noise(4, 3, 64))
out["losses"] = [v.item() for v in losses]
(HERE / "draem_import.json").write_text(json.dumps(out, separators=(",", ":")))

# safetensors by hand: a header's length, the header, the numbers.
header, data = {}, b""
for name, g in gradients.items():
    values = g.float().numpy().astype("<f4").tobytes()
    header[name] = {"dtype": "F32", "shape": list(g.shape), "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
(HERE / "draem_gradients.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)

# How far PyTorch's own single precision is off, for the tolerance.
for _, net in NETS:
    net.float()
_, single = step(noise(4, 3, 64).float())
off = {k: ((single[k].double() - g).norm() / g.norm()).item() for k, g in gradients.items() if g.norm() > 1e-6}
print("PyTorch's single precision is off by at most", max(off.values()))
