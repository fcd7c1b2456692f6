"""Trains the published DRAEM in PyTorch and goma's anomaly model on the same good pieces, and
measures both on the same held-out pieces with the same program.

    python draem.py GOMA DATA OUT [--seeds 1,2,3] [--steps 500] [--size 64] [--batch 8]
        [--widths 16,8] [--learning-rate 1e-3] [--threads 1]

GOMA is the program, DATA a data set in the layout `folders` with pieces.csv and masks, in grey. A
quarter of the physical pieces (chosen by the seed) is held out. Four rows for each seed:

- original: networks, losses, noise, blending, schedule and augmentation of the published code,
  rebuilt (tests/reference/draem_networks.py; imgaug's changes by Pillow); its weights are taken over
  by `goma import draem` and measured by `goma evaluate`;
- goma as published: `goma train --preset paper` with the same size, widths, steps, batch, learning
  rate and texture pictures;
- goma: preset `fast` with the same size, widths, steps and batch, and all that it does otherwise;
- goma varied: the same, good pieces mirrored, flipped and under other exposures (docs/training.md).

The published work's textures (DTD) are a download; both get 200 pictures painted here instead. All
see the same number of samples. Ends with mean and standard deviation over the seeds. A bundle
complete in OUT is not trained again. Needs numpy, torch and Pillow.
"""
import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageOps

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/reference"))
from draem_networks import Discriminative, Reconstructive, focal_loss, perlin, ssim_loss  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("data", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--seeds", default="1,2,3")
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--widths", default="16,8")
parser.add_argument("--learning-rate", type=float, default=1e-3)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
wide, narrow = (int(w) for w in args.widths.split(","))
torch.set_num_threads(args.threads)


def split(seed):
    """Manifests of the good training pieces and of the held-out ones, and the former's files."""
    with open(args.data / "pieces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({row["piece"] for row in rows})
    random.Random(seed).shuffle(groups)
    held_out = set(groups[: len(groups) // 4])
    folder = args.out / f"split{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "train": [r for r in rows if r["piece"] not in held_out and r["class"] == "good"],
        "test": [r for r in rows if r["piece"] in held_out],
    }
    for name, part in parts.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", "path", "label", "group", "mask"])
            for row in part:
                path = args.data / row["file"]
                mask = args.data / "masks" / row["class"] / f"{path.stem}.png"
                out.writerow([path.stem, path.resolve(), row["class"], row["piece"],
                              mask.resolve() if mask.exists() else ""])
    return folder, [args.data / r["file"] for r in parts["train"]]


def paint(folder, count=200, side=128):
    """Noise of several scales, stripes and checks, in grey."""
    if folder.exists():
        return
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    y, x = np.mgrid[:side, :side]
    for i in range(count):
        noise = sum(np.asarray(Image.fromarray(rng.random((n, n)).astype(np.float32)).resize(
            (side, side), Image.BICUBIC)) * w for n, w in zip((4, 8, 16, 32, 64), rng.random(5)))
        angle, period = rng.random() * np.pi, rng.uniform(4, 32)
        wave = np.sin(2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)))
        check = np.sign(np.sin(2 * np.pi / period * x) * np.sin(2 * np.pi / period * y))
        picture = noise + [0 * wave, wave, check][i % 3] * rng.random()
        picture = (picture - picture.min()) / (picture.max() - picture.min())
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / f"{i:03}.png")


CHANGES = [
    lambda p, r: p.point([round(255 * (v / 255) ** g) for g in [r.uniform(0.5, 2)] for v in range(256)]),
    lambda p, r: p.point([min(max(round(v * m + a), 0), 255)
                          for m, a in [(r.uniform(0.8, 1.2), r.uniform(-30, 30))] for v in range(256)]),
    lambda p, r: ImageEnhance.Sharpness(p).enhance(r.uniform(0, 4)),
    lambda p, r: p,  # hue and saturation: a grey picture has neither
    lambda p, r: ImageOps.solarize(p, r.randint(32, 128)) if r.random() < 0.5 else p,
    lambda p, r: ImageOps.posterize(p, r.randint(1, 8)),
    lambda p, r: ImageOps.invert(p),
    lambda p, r: ImageOps.autocontrast(p),
    lambda p, r: ImageOps.equalize(p),
    lambda p, r: p.rotate(r.uniform(-45, 45), Image.BILINEAR),
]


def sample(good, pictures, rng, draws):
    """Piece, piece with a defect, mask: as the published training set makes them."""
    size = args.size
    if rng.random() > 0.7:
        good = good.rotate(rng.uniform(-90, 90), Image.BILINEAR)
    piece = np.asarray(good, np.float32) / 255
    texture = rng.choice(pictures)
    for change in rng.sample(CHANGES, 3):
        texture = change(texture, rng)
    res = (2 ** rng.randrange(6), 2 ** rng.randrange(6))
    noise = perlin((size, size), res, 2 * np.pi * draws.random((res[0] + 1, res[1] + 1)))
    noise = Image.fromarray(noise.astype(np.float32)).rotate(rng.uniform(-90, 90), Image.BILINEAR)
    mask = (np.asarray(noise) > 0.5).astype(np.float32)
    beta = rng.random() * 0.8
    if rng.random() > 0.5:
        return piece, piece, 0 * mask
    texture = np.asarray(texture, np.float32) / 255
    defective = piece * (1 - mask) + (1 - beta) * texture * mask + beta * piece * mask
    return piece, defective, mask


def original(seed, files, folder):
    """Trains the published code's networks; the files of its state dictionaries."""
    torch.manual_seed(seed)
    rng, draws = random.Random(seed), np.random.default_rng(seed)
    load = lambda path: Image.open(path).convert("L").resize((args.size,) * 2, Image.BILINEAR)
    pieces = [load(f) for f in files]
    pictures = [load(f) for f in sorted((args.out / "pictures").iterdir())]
    nets = Reconstructive(1, wide), Discriminative(2, narrow)
    for net in nets:
        for m in net.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, 0, 0.02)
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.normal_(m.weight, 1, 0.02)
    optimiser = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=args.learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [int(0.8 * args.steps), int(0.9 * args.steps)], gamma=0.2)
    for _ in range(args.steps):
        batch = [sample(rng.choice(pieces), pictures, rng, draws) for _ in range(args.batch)]
        good, defective, mask = (torch.tensor(np.stack(t))[:, None] for t in zip(*batch))
        restored = nets[0](defective)
        classes = torch.softmax(nets[1](torch.cat((restored, defective), 1)), 1)
        loss = F.mse_loss(restored, good) + ssim_loss(restored, good) + focal_loss(classes, mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    paths = folder / "rec.pth", folder / "seg.pth"
    for net, path in zip(nets, paths):
        torch.save(net.state_dict(), path)
    return paths


def goma(*words):
    command = [args.goma, *words, "--threads", args.threads, "-q"]
    return subprocess.run([str(w) for w in command], check=True, stdout=subprocess.PIPE).stdout


def train(how, seed, folder, files):
    """The bundle's folder, and the minutes that it took (0 if it was there)."""
    bundle = folder / how.replace(" ", "-")
    begun = time.perf_counter()
    if (bundle / "manifest.json").exists():
        return bundle, 0.0
    if how == "original":
        rec, seg = original(seed, files, folder)
        goma("import", "draem", "--reconstructive", rec, "--discriminative", seg, "--out", bundle,
             "--size", args.size, "--force")
    else:
        settings = {"size": args.size, "reconstructive_width": wide, "discriminative_width": narrow,
                    "steps": args.steps, "batch": args.batch}
        preset = []
        if how == "goma as published":
            settings["learning_rate"] = args.learning_rate
            preset = ["--preset", "paper", "--anomaly-source", args.out / "pictures"]
        if how == "goma varied":
            settings |= {f"simulation.{k}": 0.5 for k in ("mirror_share", "flip_share", "exposure")}
        # All good pieces are trained on, none held out or kept back: as in the original.
        words = [w for k, v in settings.items() for w in ("--set", f"draem.{k}={v}")]
        goma("train", folder / "train.csv", "--out", bundle, "--model", "draem", "--seed", seed,
             "--test-share", "0", "--set", "fitting.maps=seen", "--force", *preset, *words)
    return bundle, (time.perf_counter() - begun) / 60


results = {}
paint(args.out / "pictures")
print("| model | seed | minutes | image ROC AUC | pixel AP | AUPRO |\n|---|---|---|---|---|---|")
for seed in map(int, args.seeds.split(",")):
    folder, files = split(seed)
    for how in ("original", "goma as published", "goma", "goma varied"):
        bundle, minutes = train(how, seed, folder, files)
        measured = json.loads(goma("evaluate", bundle, folder / "test.csv", "--json"))
        pixels = measured["pixels"]
        row = measured["roc_auc"], pixels["average_precision"], pixels["aupro"]
        results.setdefault(how, []).append(row)
        print(f"| {how} | {seed} | {minutes:.1f} | " + " | ".join(f"{v:.3f}" for v in row) + " |", flush=True)
for how, rows in results.items():
    cells = [f"{statistics.fmean(v):.3f} +- {statistics.stdev(v):.3f}" if len(v) > 1 else f"{v[0]:.3f}"
             for v in zip(*rows)]
    print(f"| {how} | all | | {' | '.join(cells)} |")
