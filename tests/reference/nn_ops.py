"""Expected values for goma's tensor operations, computed with PyTorch.

    python tests/reference/nn_ops.py > tests/reference/nn_ops.json

Inputs are not stored: value i of an input with salt s is sin(12.9898 (i + 1) + s)
in double precision, rounded to single. The loss is the sum of the result times
such values with salt 99.
"""

import json
import math

import torch
import torch.nn.functional as F


def wave(shape, salt):
    count = math.prod(shape)
    values = [math.sin(12.9898 * (i + 1) + salt) for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).reshape(shape)


def numbers(tensor):
    return [float(f"{v:.6g}") for v in tensor.detach().flatten().tolist()]


def case(op, shapes, f, **settings):
    inputs = [wave(s, i).requires_grad_() for i, s in enumerate(shapes)]
    y = f(*inputs)
    (y * wave(y.shape, 99)).sum().backward()
    return {
        "op": op,
        "shapes": [list(s) for s in shapes],
        **settings,
        "y_shape": list(y.shape),
        "y": numbers(y),
        "gradients": [numbers(t.grad) for t in inputs],
    }


def conv(n, c, h, w, o, k, stride, padding):
    return case(
        "conv2d",
        [(n, c, h, w), (o, c, k, k), (o,)],
        lambda x, w, b: F.conv2d(x, w, b, stride, padding),
        stride=stride,
        padding=padding,
    )


def batch_norm(shape, relu):
    c = shape[1]
    act = F.relu if relu else lambda t: t
    return case(
        "batch_norm",
        [shape, (c,), (c,)],
        lambda x, g, b: act(F.batch_norm(x, None, None, g, b, True, 0.1, 1e-5)),
        relu=relu,
    )


def gaussian(shape, size, sigma):
    i = torch.arange(size) - size // 2
    g = torch.exp(-(i.double() ** 2) / (2 * sigma**2))
    g = g / g.sum()
    window = torch.outer(g, g).float().expand(shape[1], 1, size, size)
    return case(
        "gaussian_window",
        [shape],
        lambda x: F.conv2d(x, window, padding=size // 2, groups=shape[1]),
        size=size,
        sigma=sigma,
    )


def pool(shape, kernel, stride, padding):
    # Rounded to halves, so that many windows hold equal values.
    return case(
        "max_pool2d",
        [shape],
        lambda x: F.max_pool2d(torch.round(x * 2) / 2 + (x - x.detach()), kernel, stride, padding),
        kernel=kernel,
        stride=stride,
        padding=padding,
    )


def running_averages():
    layer = torch.nn.BatchNorm2d(3)
    for salt in range(3):
        layer(wave((2, 3, 5, 4), salt) * (salt + 1) + salt)
    return {"mean": numbers(layer.running_mean), "variance": numbers(layer.running_var)}


def adam(kind, decay, limit):
    parameters = [wave((3, 2), 0).requires_grad_(), wave((4,), 1).requires_grad_()]
    make = torch.optim.AdamW if kind == "adam_w" else torch.optim.Adam
    optimiser = make(parameters, lr=0.01, weight_decay=decay)
    for step in range(5):
        for i, p in enumerate(parameters):
            p.grad = wave(p.shape, 10 + step + 7 * i) * (step + 1)
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(parameters, limit)
        optimiser.step()
    return {
        "kind": kind,
        "decay": decay,
        "limit": limit,
        "parameters": [[float(f"{v:.9g}") for v in p.detach().flatten().tolist()] for p in parameters],
    }


cases = [
    conv(2, 3, 7, 12, 4, 3, 1, 1),
    conv(1, 3, 13, 12, 4, 3, 2, 1),
    conv(1, 1, 31, 17, 2, 3, 2, 1),
    conv(1, 6, 15, 14, 5, 7, 2, 3),
    conv(2, 3, 9, 10, 4, 1, 1, 0),
    conv(1, 3, 9, 10, 4, 1, 2, 0),
    conv(1, 2, 8, 11, 3, 5, 1, 4),
    conv(1, 16, 6, 7, 17, 3, 1, 1),
    batch_norm((2, 3, 7, 6), False),
    batch_norm((3, 2, 7, 5), True),
    pool((1, 2, 13, 12), 2, 2, 0),
    pool((1, 2, 13, 12), 3, 2, 1),
    case("upsample", [(1, 3, 7, 5)], lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)),
    case("upsample", [(1, 1, 1, 9)], lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)),
    gaussian((1, 2, 13, 12), 11, 1.5),
    case("softmax", [(2, 2, 7, 6)], lambda x: F.softmax(x * 5, 1)),
    case("global_avg_pool", [(2, 3, 7, 5)], lambda x: x.mean((2, 3))),
]
print(
    json.dumps(
        {
            "cases": cases,
            "running_averages": running_averages(),
            "adam": [adam("adam", 0.0, None), adam("adam", 0.1, 1.0), adam("adam_w", 0.01, None)],
        }
    )
)
