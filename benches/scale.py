"""How `goma score` grows with the number of pieces: start to first row, time, memory.

    python benches/scale.py target/release/goma models/eraser PIECES --counts 100 1000 10000

PIECES is a data set of `goma synth`; its arrays are linked under new names until there are enough.
Prints for each count: seconds from the start of the process until its first row lies in the journal
(the table's rows while a run lasts), seconds and processor seconds of the whole run, peak memory
(the kernel's maximum resident set). `--stop` ends each run after its first row. Needs Linux.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


def linked(pieces, count, folder):
    """A folder with `count` arrays, each a link to one of those of `pieces`."""
    sources = sorted((pieces / "arrays").glob("*.npy"))
    folder.mkdir()
    for i in range(count):
        os.symlink(sources[i % len(sources)].resolve(), folder / f"piece-{i:06}.npy")
    return folder


def has_row(journal):
    """Whether the journal holds its header and a row."""
    try:
        with open(journal, "rb") as file:
            return file.read(1 << 16).count(b"\n") >= 2
    except FileNotFoundError:
        return False


def run(goma, bundle, inputs, out, arguments, stop):
    """Seconds to the first row, of the run, of the processor; peak memory in MB."""
    command = [goma, "score", bundle, inputs, "--out", out, "--quiet", *arguments]
    journal = out / "scores.partial.jsonl"
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not has_row(journal):
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            sys.exit("goma ended before its first row was seen")
        time.sleep(0.002)
    first = time.perf_counter() - begun
    if stop:
        process.terminate()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0 and not stop:
        sys.exit(f"goma ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - begun
    return first, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("goma", type=pathlib.Path)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("pieces", type=pathlib.Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--stop", action="store_true", help="stop each run after its first row")
    parser.add_argument("arguments", nargs="*", help="further arguments for goma score, after --")
    options = parser.parse_args()
    goma = options.goma.resolve()
    print("  pieces  first row s   run s  processor s  peak MB")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for count in options.counts:
            inputs = linked(options.pieces, count, scratch / f"in-{count}")
            for _ in range(options.rounds):
                out = scratch / "out"
                found = run(goma, options.bundle, inputs, out, options.arguments, options.stop)
                shutil.rmtree(out)
                first, seconds, processor, peak = found
                print(f"{count:8} {first:12.3f} {seconds:7.1f} {processor:12.1f} {peak:8.0f}", flush=True)


if __name__ == "__main__":
    main()
