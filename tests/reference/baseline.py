"""Losses, optimiser steps, schedules, turns and class activation maps.

Expected values for src/nn/{loss,sgd}.rs, src/data/augment.rs and src/baseline.
Run: python tests/reference/baseline.py > tests/reference/baseline.json
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from resnet import hashed


def losses():
    scores = torch.tensor([0.3, -1.2, 2.5, 0.0, -0.7, 1.1], dtype=torch.float64)
    positive = [True, False, True, True, False, False]
    x = scores.clone().requires_grad_()
    y = torch.tensor(positive, dtype=torch.float64)
    binary = F.binary_cross_entropy_with_logits(
        x, y, pos_weight=torch.tensor(2.5, dtype=torch.float64)
    )
    binary.backward()
    z = scores.clone().reshape(2, 3).requires_grad_()
    weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    multi = F.cross_entropy(z, torch.tensor([1, 2]), weight=weights)
    multi.backward()
    return {
        "scores": scores.tolist(),
        "positive": positive,
        "pos_weight": 2.5,
        "binary": {"value": binary.item(), "gradient": x.grad.tolist()},
        "class": [1, 2],
        "class_weights": weights.tolist(),
        "multi": {"value": multi.item(), "gradient": z.grad.flatten().tolist()},
    }


def sgd():
    cases = []
    for momentum, nesterov, decay, limit in [
        (0.0, False, 0.0, None),
        (0.9, False, 0.01, None),
        (0.9, True, 0.01, None),
        (0.9, False, 0.01, 0.5),
    ]:
        start = torch.tensor(hashed("start", 5))
        p = torch.nn.Parameter(start.clone())
        optimiser = torch.optim.SGD(
            [p], lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay
        )
        gradients = [torch.tensor(hashed(f"gradient {i}", 5)) for i in range(4)]
        for gradient in gradients:
            p.grad = gradient.clone()
            if limit is not None:
                torch.nn.utils.clip_grad_norm_([p], limit)
            optimiser.step()
        cases.append(
            {
                "momentum": momentum,
                "nesterov": nesterov,
                "decay": decay,
                "limit": limit,
                "start": start.tolist(),
                "gradients": [g.tolist() for g in gradients],
                "end": p.detach().tolist(),
            }
        )
    return cases


def schedule():
    measures = [0.5, 0.6, 0.6, 0.60001, 0.59, 0.58, 0.7, 0.69, 0.7, 0.7, 0.71, 0.7]
    rates = {}
    for kind in ["plateau", "cosine"]:
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        optimiser.step()
        if kind == "plateau":
            s = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimiser, mode="max", patience=2, factor=0.1
            )
        else:
            s = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=len(measures))
        rates[kind] = []
        for measure in measures:
            s.step(measure) if kind == "plateau" else s.step()
            rates[kind].append(optimiser.param_groups[0]["lr"])
    return {"measures": measures, **rates}


def affine():
    cases = []
    shape = (2, 7, 6)
    x = torch.tensor(hashed("picture", int(np.prod(shape)))).reshape(shape) / 2 + 0.5
    for angle, shift, scale in [
        (15.0, (0, 0), 1.0),
        (0.0, (2, -1), 1.0),
        (-7.5, (1, 2), 0.85),
        (120.0, (-1, 0), 1.15),
    ]:
        y = torchvision.transforms.functional.affine(
            x,
            angle=angle,
            translate=list(shift),
            scale=scale,
            shear=[0.0, 0.0],
            interpolation=torchvision.transforms.InterpolationMode.BILINEAR,
        )
        cases.append(
            {
                "angle": angle,
                "shift": shift,
                "scale": scale,
                "shape": shape,
                "input": x.flatten().tolist(),
                "output": [round(v, 7) for v in y.flatten().tolist()],
            }
        )
    return cases


def made_up(name, shape):
    u = hashed(name, int(np.prod(shape)))
    if len(shape) == 4:
        middle, reach = 0.0, (6.0 / (shape[1] * shape[2] * shape[3])) ** 0.5
    elif name.endswith("running_var"):
        middle, reach = 1.0, 0.5
    elif name == "fc.weight":
        middle, reach = 0.0, 0.1
    elif name.endswith("weight"):
        middle, reach = 0.5, 0.25
    else:
        middle, reach = 0.0, 0.1
    values = np.float32(middle) + np.float32(reach) * u
    return torch.from_numpy(values.reshape(shape))


def resnet18():
    """Torchvision's, of three classes, with made-up weights."""
    net = torchvision.models.resnet18(weights=None)
    net.fc = torch.nn.Linear(512, 3)
    net.load_state_dict(
        {
            k: v if k.endswith("num_batches_tracked") else made_up(k, tuple(v.shape))
            for k, v in net.state_dict().items()
        }
    )
    return net


def step():
    net = resnet18()
    net.train()
    x = torch.from_numpy(hashed("input", 4 * 3 * 64 * 64)).reshape(4, 3, 64, 64)
    weights = torch.tensor([1.0, 2.0, 0.5])
    loss = F.cross_entropy(net(x), torch.tensor([0, 2, 1, 1]), weight=weights)
    loss.backward()
    gradients = {k: p.grad.double().flatten() for k, p in net.named_parameters()}
    every = slice(None, None, 97)
    return {
        "loss": loss.item(),
        "gradient_norms": {k: g.norm().item() for k, g in gradients.items()},
        "gradients": {
            k: [float(f"{v:.6g}") for v in g[::97][:200].tolist()] for k, g in gradients.items()
        },
        "running_mean": net.layer4[1].bn2.running_mean[every].tolist(),
        "running_var": net.layer4[1].bn2.running_var[every].tolist(),
    }


# Chosen so that no map is all zero.
SALT = 0


def case(at, a, g, scores):
    """Both maps of an image `a` whose gradient is `g`."""
    layer_cam = F.relu((F.relu(g) * a).sum(1))[0]
    grad_cam = F.relu((g.mean((2, 3), keepdim=True) * a).sum(1))[0]
    return {
        "layer": at,
        "scores": scores[0].tolist(),
        "layer_cam": layer_cam.flatten().tolist(),
        "grad_cam": grad_cam.flatten().tolist(),
    }


def cam():
    def layer(i, o):
        parts = torch.nn.ModuleDict(
            {"conv": torch.nn.Conv2d(i, o, 3, padding=1, bias=False), "bn": torch.nn.BatchNorm2d(o)}
        )
        return parts

    features = torch.nn.ModuleList([layer(2, 3), layer(3, 4)])
    classifier = torch.nn.ModuleList([torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)])
    net = torch.nn.ModuleDict({"features": features, "classifier": classifier})
    net.load_state_dict(
        {
            k: v
            if k.endswith("num_batches_tracked")
            else torch.from_numpy(hashed(f"cam {SALT} " + k, v.numel())).reshape(v.shape)
            if "classifier" in k
            else made_up("cam " + k, tuple(v.shape))
            for k, v in net.state_dict().items()
        }
    )
    net.eval()
    x = torch.from_numpy(hashed("cam picture", 2 * 32 * 32)).reshape(1, 2, 32, 32)

    def run(parts, x):
        return F.max_pool2d(F.relu(parts["bn"](parts["conv"](x))), 2)

    def head(x):
        x = F.relu(classifier[0](x.mean((2, 3))))
        return classifier[1](x)

    cases = []
    for at in [0, 1]:
        a = run(features[0], x)
        if at == 1:
            a = run(features[1], a)
        a = a.detach().requires_grad_()
        scores = head(run(features[1], a) if at == 0 else a)
        odds = torch.logsumexp(scores[:, 1:], 1) - scores[:, 0]
        (g,) = torch.autograd.grad(odds.sum(), a)
        cases.append(case(at, a, g, scores))
    weights = {
        k: [list(v.shape), v.flatten().tolist()]
        for k, v in net.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    return {"weights": weights, "picture": x.flatten().tolist(), "cases": cases}


def resnet_cam():
    """Maps of each of ResNet-18's four stages, of the log-odds of three classes but the first."""
    net = resnet18()
    net.eval()
    x = torch.from_numpy(hashed("cam input", 3 * 64 * 64)).reshape(1, 3, 64, 64)
    kept = {}
    for at in range(4):
        stage = getattr(net, f"layer{at + 1}")
        stage.register_forward_hook(lambda _m, _i, out, at=at: kept.__setitem__(at, out))
    scores = net(x)
    odds = torch.logsumexp(scores[:, 1:], 1) - scores[:, 0]
    gradients = torch.autograd.grad(odds.sum(), [kept[at] for at in range(4)])
    return [case(at, kept[at], g, scores) for at, g in enumerate(gradients)]


def main():
    torch.manual_seed(0)
    print(
        json.dumps(
            {
                "loss": losses(),
                "sgd": sgd(),
                "schedule": schedule(),
                "affine": affine(),
                "step": step(),
                "cam": cam(),
                "resnet_cam": resnet_cam(),
            }
        )
    )


if __name__ == "__main__":
    main()
