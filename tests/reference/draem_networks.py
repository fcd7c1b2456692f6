"""The published DRAEM's noise, losses and networks (Zavrtanik et al., ICCV 2021), rebuilt in PyTorch.

Layer for layer and name for name those of the original code, so that its state dictionaries fit.
"""
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def perlin(shape, res, angles):
    delta = (res[0] / shape[0], res[1] / shape[1])
    d = (shape[0] // res[0], shape[1] // res[1])
    grid = np.mgrid[0 : res[0] : delta[0], 0 : res[1] : delta[1]].transpose(1, 2, 0) % 1
    gradients = np.stack((np.cos(angles), np.sin(angles)), axis=-1)

    def corner(rows, columns, shift):
        g = gradients[rows, columns].repeat(d[0], axis=0).repeat(d[1], axis=1)
        return ((grid + np.array(shift)) * g).sum(axis=-1)

    low, high = slice(0, -1), slice(1, None)
    n00, n10 = corner(low, low, (0, 0)), corner(high, low, (-1, 0))
    n01, n11 = corner(low, high, (0, -1)), corner(high, high, (-1, -1))
    t = 6 * grid**5 - 15 * grid**4 + 10 * grid**3
    lerp = lambda a, b, w: (b - a) * w + a
    return math.sqrt(2) * lerp(lerp(n00, n10, t[..., 0]), lerp(n01, n11, t[..., 0]), t[..., 1])


def ssim_loss(x, y, size=11, sigma=1.5):
    g = torch.tensor([math.exp(-((i - size // 2) ** 2) / (2 * sigma**2)) for i in range(size)],
                     dtype=x.dtype)
    g = g / g.sum()
    c = x.shape[1]
    window = (g[:, None] @ g[None, :]).expand(c, 1, size, size).contiguous()
    blur = lambda t: F.conv2d(t, window, padding=size // 2, groups=c)
    mx, my = blur(x), blur(y)
    sxx, syy, sxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    value = ((2 * mx * my + c1) * (2 * sxy + c2)) / ((mx**2 + my**2 + c1) * (sxx + syy + c2))
    return 1 - value.mean()


def focal_loss(p, target, smooth=1e-5, gamma=2):
    p = p.permute(0, 2, 3, 1).reshape(-1, 2)
    index = target.reshape(-1, 1).long()
    hot = torch.zeros_like(p).scatter_(1, index, 1).clamp(smooth, 1 - smooth)
    pt = (hot * p).sum(1) + smooth
    return (-((1 - pt) ** gamma) * pt.log()).mean()


def double(i, m, o):
    return [nn.Conv2d(i, m, 3, padding=1), nn.BatchNorm2d(m), nn.ReLU(inplace=True),
            nn.Conv2d(m, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


def up(i, o):
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                         nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class Encoder(nn.Module):
    def __init__(self, channels, widths):
        super().__init__()
        self.n = len(widths)
        for k, (i, o) in enumerate(zip([channels] + widths[:-1], widths), 1):
            setattr(self, f"block{k}", nn.Sequential(*double(i, o, o)))

    def forward(self, x):
        outputs = []
        for k in range(1, self.n + 1):
            x = getattr(self, f"block{k}")(x if k == 1 else F.max_pool2d(x, 2))
            outputs.append(x)
        return outputs


class Reconstructive(nn.Module):
    def __init__(self, channels, w):
        super().__init__()
        self.encoder = Encoder(channels, [w, 2 * w, 4 * w, 8 * w, 8 * w])
        d = self.decoder = nn.Module()
        for k, (i, o) in enumerate([(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, w)], 1):
            setattr(d, f"up{k}", up(i, i))
            setattr(d, f"db{k}", nn.Sequential(*double(i, i, o)))
        d.fin_out = nn.Sequential(nn.Conv2d(w, channels, 3, padding=1))

    def forward(self, x):
        x = self.encoder(x)[-1]
        for k in range(1, 5):
            x = getattr(self.decoder, f"db{k}")(getattr(self.decoder, f"up{k}")(x))
        return self.decoder.fin_out(x)


class Discriminative(nn.Module):
    def __init__(self, channels, w):
        super().__init__()
        self.encoder_segment = Encoder(channels, [w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w])
        d = self.decoder_segment = nn.Module()
        plan = [("b", 8 * w, 8 * w, 8 * w), ("1", 8 * w, 4 * w, 8 * w), ("2", 4 * w, 2 * w, 4 * w),
                ("3", 2 * w, w, 2 * w), ("4", w, w, w)]
        for name, i, o, skip in plan:
            setattr(d, "up_b" if name == "b" else f"up{name}", up(i, o))
            setattr(d, f"db_{name}" if name == "b" else f"db{name}", nn.Sequential(*double(o + skip, o, o)))
        d.fin_out = nn.Sequential(nn.Conv2d(w, 2, 3, padding=1))

    def forward(self, x):
        b = self.encoder_segment(x)
        d = self.decoder_segment
        x = b[5]
        for name, skip in zip(["_b", "1", "2", "3", "4"], [b[4], b[3], b[2], b[1], b[0]]):
            x = getattr(d, f"db{name}")(torch.cat((getattr(d, f"up{name}")(x), skip), dim=1))
        return d.fin_out(x)
