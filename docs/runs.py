"""What the scripts of this folder share: one training of an anomaly model, and
what it measured. Only the standard library is needed."""

import json
import os
import subprocess


def arguments(parser):
    """The flags that all of them take; --set as often as wanted."""
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--threads", type=int, default=1)


def trained(options, data, out, seed, pairs=(), flags=()):
    """Trains `goma train DATA --model draem` into `out`, if no complete bundle is
    there; gives [image ROC AUC, pixel AP, AUPRO] on its held-out pieces, NaN
    where there are no masks."""
    measured = os.path.join(out, "evaluation.json")
    if not os.path.exists(measured):
        command = [options.goma, "train", data, "--out", out, "--model", "draem", "--force", "-q"]
        command += ["--preset", options.preset, "--seed", seed, "--threads", options.threads, *flags]
        for pair in [*options.set, *pairs]:
            command += ["--set", pair]
        subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    with open(measured) as file:
        evaluation = json.load(file)
    pixels = evaluation["pixels"] or {}
    return [
        evaluation["arms"]["anomaly score"]["roc_auc"],
        pixels.get("average_precision", float("nan")),
        pixels.get("aupro", float("nan")),
    ]
