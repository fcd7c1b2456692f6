"""What a better anomaly map costs: trains anomaly models of several sizes and
widths on one data set, with as many samples each, and sets the quality on its
held-out pieces against the multiply-adds of one piece: a table, and a plot in
OUT/cost.svg. Those that no cheaper model equals (the Pareto front) are marked.

    python docs/cost.py GOMA DATA OUT [--models 64:16:8,128:8:4,...] [--seeds 1]
        [--preset fast] [--set draem.steps=800] [--threads 1]

A model is SIZE:RECONSTRUCTIVE WIDTH:DISCRIMINATIVE WIDTH. GOMA is the program,
DATA a labelled data set with masks, OUT a folder for the bundles; one that is
complete there is not trained again. Only the standard library is needed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess

import runs

MODELS = "32:16:8,64:8:4,64:16:8,64:32:16,96:16:8,128:4:4,128:8:4,128:16:8"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 30, 40, 60


def train(options, model, seed):
    """The bundle's folder, and its image ROC AUC, pixel AP and AUPRO."""
    size, wide, narrow = model.split(":")
    out = os.path.join(options.out, f"{size}-{wide}-{narrow}-seed{seed}")
    pairs = [f"draem.size={size}", f"draem.reconstructive_width={wide}",
             f"draem.discriminative_width={narrow}"]
    return out, runs.trained(options, options.data, out, seed, pairs)


def bench(options, bundle):
    """Multiply-adds of one piece, and milliseconds in the networks."""
    command = [options.goma, "bench", bundle, options.data, "--count", "32", "--rounds", "2",
               "--threads", str(options.threads), "--json", "-q"]
    measured = json.loads(subprocess.check_output(command))
    return measured["multiply_adds"], measured["stages"]["networks"]


def front(rows):
    """The rows that no cheaper one equals in quality."""
    best, out = -math.inf, []
    for row in sorted(rows, key=lambda row: row["cost"]):
        if row["quality"] > best:
            best = row["quality"]
            out.append(row)
    return out


def plot(rows, label):
    """Quality against multiply-adds, on a logarithmic axis, as SVG."""
    costs = [math.log10(row["cost"]) for row in rows]
    low, high = math.floor(min(costs) * 2) / 2, math.ceil(max(costs) * 2) / 2
    qualities = [row["quality"] for row in rows]
    bottom, top = math.floor(min(qualities) * 20) / 20, math.ceil(max(qualities) * 20) / 20
    x = lambda cost: LEFT + (math.log10(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    y = lambda v: HEIGHT - BOTTOM - (v - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             'font-family="sans-serif" font-size="13">', '<rect width="100%" height="100%" fill="white"/>']
    for i in range(round((top - bottom) * 20) + 1):
        v = bottom + i / 20
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>')
    for i in range(round((high - low) * 2) + 1):
        cost = 10 ** (low + i / 2)
        parts.append(f'<text x="{x(cost):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
                     f'{cost / 1e9:.2g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
                 f'billion multiply-adds a piece</text><text x="{LEFT}" y="22">{label}</text>')
    line = " ".join(f"{x(row['cost']):.1f},{y(row['quality']):.1f}" for row in front(rows))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>')
    for row in rows:
        parts.append(f'<circle cx="{x(row["cost"]):.1f}" cy="{y(row["quality"]):.1f}" r="4" fill="#d55e00"/>'
                     f'<text x="{x(row["cost"]) + 7:.1f}" y="{y(row["quality"]) - 6:.1f}">{row["name"]}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("goma")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--models", default=MODELS)
    runs.arguments(parser)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    rows = []
    for model in options.models.split(","):
        bundles = [train(options, model, seed) for seed in options.seeds.split(",")]
        cost, milliseconds = bench(options, bundles[0][0])
        qualities, pixel_aps, aupros = zip(*(measured for _, measured in bundles))
        rows.append({"name": model, "cost": cost, "ms": milliseconds,
                     "quality": statistics.fmean(qualities), "of_seeds": qualities,
                     "ap": statistics.fmean(pixel_aps), "aupro": statistics.fmean(aupros)})
    best = [row["name"] for row in front(rows)]
    print("| size:widths | 10^9 multiply-adds | networks, ms | image ROC AUC | of each seed | pixel AP | AUPRO | front |\n"
          "|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: row["cost"]):
        print(f"| {row['name']} | {row['cost'] / 1e9:.3f} | {row['ms']:.1f} | {row['quality']:.3f} "
              f"| {', '.join(f'{q:.3f}' for q in row['of_seeds'])} "
              f"| {row['ap']:.3f} | {row['aupro']:.3f} | {'yes' if row['name'] in best else ''} |")
    with open(os.path.join(options.out, "cost.svg"), "w") as file:
        file.write(plot(rows, "image ROC AUC of the anomaly score; size:widths, the front in blue"))


main()
