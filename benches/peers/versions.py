"""Times single pictures in two versions of goma, in turns, after a rest and without.

    python networks.py PEER --weights FOLDER
    python versions.py BEFORE AFTER FOLDER [--rounds 15] [--threads 2] [--precision bfloat16]

BEFORE and AFTER are what `cargo bench --bench peer --no-run` builds of either version; FOLDER holds the
networks that the first command writes. Each program rests for a quarter of a second, then gets eight
pictures one after the other. Prints medians in milliseconds of the first, second and eighth call. Run
it while nothing else runs. Only the standard library is needed.
"""
import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

CALLS = 8


class Peer:
    """One version, with all networks loaded."""

    def __init__(self, program, options):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=os.environ | {"RAYON_NUM_THREADS": str(options.threads)})
        self.ask("precision", options.precision)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        return self.process.stdout.readline().split()

    def calls(self, name):
        time.sleep(0.25)
        return [float(self.ask("infer", name, 1)[0]) for _ in range(CALLS)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    versions = {"before": Peer(options.before, options), "after": Peer(options.after, options)}
    print("| network | version | 1st, ms | 2nd | 8th |\n|---|---|---|---|---|")
    for weights in sorted(options.folder.glob("*.safetensors")):
        name = weights.stem
        for peer in versions.values():
            peer.ask("load", name, name.split("-")[0], weights)
        times = {version: [] for version in versions}
        for _ in range(options.rounds):
            for version, peer in versions.items():
                times[version].append(peer.calls(name))
        for version, calls in times.items():
            first, second, *_, last = map(statistics.median, zip(*calls))
            print(f"| {name} | {version} | {first:.1f} | {second:.1f} | {last:.1f} |", flush=True)


main()
