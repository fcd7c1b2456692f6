"""What --contamination brings: synthetic erasers whose good pieces hide a share of
defects labelled good; anomaly models trained on the clean labels, and on the
spoilt ones without and with the option, all measured on the same held-out
pieces with their true labels.

    python docs/contamination.py GOMA OUT [--count 600] [--share 0.05] [--seeds 1]
        [--set draem.steps=300] [--threads 1]

Only the standard library is needed.
"""

import argparse
import csv
import os
import subprocess

import runs


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def manifests(folder, share):
    """Manifests with clean and with spoilt labels of the training pieces.

    Held out are the packs whose number is divisible by 3. Of the defective
    training pieces as many are called good as make up the share of the good;
    the others are left out (an anomaly model does not learn from them)."""
    pieces = rows(os.path.join(folder, "truth.csv"))
    tested = lambda p: int(p["group"].rsplit("-", 1)[1]) % 3 == 0
    good = [p for p in pieces if not tested(p) and p["label"] == "good"]
    bad = [p for p in pieces if not tested(p) and p["label"] != "good"]
    hidden = bad[: round(share / (1 - share) * len(good))]
    held_out = [p for p in pieces if tested(p)]
    paths = {}
    for name, trained in [("clean", good), ("spoilt", good + hidden)]:
        paths[name] = os.path.join(folder, f"{name}.csv")
        with open(paths[name], "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", "path", "label", "group", "split"])
            for p in trained:
                out.writerow([p["id"], f"arrays/{p['id']}.npy", "good", p["group"], "train"])
            for p in held_out:
                out.writerow([p["id"], f"arrays/{p['id']}.npy", p["label"], p["group"], "test"])
    return paths, {p["id"] for p in hidden}, len(good)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("goma")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.05)
    runs.arguments(parser)
    options = parser.parse_args()
    data = os.path.join(options.out, "erasers")
    if not os.path.exists(data):
        os.makedirs(options.out, exist_ok=True)
        run(options.goma, "synth", "--out", data, "--count", options.count, "--seed", 77)
    paths, hidden, good = manifests(data, options.share)
    print(f"{good} good training pieces and {len(hidden)} defects called good among them\n")
    print("| training | image ROC AUC | left out | of these hidden defects |\n|---|---|---|---|")
    for seed in options.seeds.split(","):
        for name, labels, share in [
            ("clean labels", "clean", 0),
            ("spoilt labels", "spoilt", 0),
            (f"spoilt labels, --contamination {options.share}", "spoilt", options.share),
        ]:
            bundle = os.path.join(options.out, f"{labels}-{share}-seed{seed}")
            auc = runs.trained(options, paths[labels], bundle, seed, flags=["--contamination", share])[0]
            sifted = os.path.join(bundle, "contamination.csv")
            left = [p["id"] for p in rows(sifted) if p["left_out"] == "1"] if share else []
            found = len(hidden.intersection(left))
            print(f"| {name}, seed {seed} | {auc:.4f} | {len(left)} | {found} |", flush=True)


main()
