"""Exported bundles in onnxruntime and OpenVINO, beside goma's own output.

Run: python tests/reference/export_onnx.py target/release/goma BUNDLE DATA [--pieces 310x310]

Needs numpy, pillow, onnx, onnxruntime and openvino. BUNDLE is any bundle, DATA a folder of pieces
as `goma synth` writes it (arrays/ID.npy, bytes, channels last). The script exports the bundle,
lets goma score the data, feeds the same pieces to the exported files (prepared by what their
metadata says, with NumPy and Pillow), in batches of 1 and of 3, and prints the largest differences
of maps, scores, features, probabilities and decisions. It fails above 1e-4 (of numbers above 1:
of their size), or if a decision changes.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from PIL import Image

TOLERANCE = 1e-4


def goma(program, *arguments):
    subprocess.run([program, "-q", *map(str, arguments)], check=True)


def onnxruntime_runner(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    entry = session.get_inputs()[0].name
    return lambda x: dict(zip(names, session.run(None, {entry: x})))


def openvino_runner(path):
    # On some processors it would compute in bfloat16.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(path), "CPU", exact)
    names = [output.name for output in onnx.load(str(path)).graph.output]

    def run(x):
        found = model(x)
        return {name: np.array(found[model.output(name)]) for name in names}

    return run


RUNTIMES = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner}


def described(path):
    """A file's metadata, as docs/export.md describes it."""
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    structured = ["input", "channels", "before", "within", "after", "outputs", "classes", "rule"]
    return {k: json.loads(v) if k in structured else v for k, v in facts.items()}


def resized(plane, height, width):
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.BILINEAR))


def edges(grey):
    """Gradients, right and down, as complex numbers; none at the border."""
    field = np.zeros_like(grey, dtype=complex)
    field[1:-1, 1:-1] = grey[1:-1, 2:] - grey[1:-1, :-2] + 1j * (grey[2:, 1:-1] - grey[:-2, 1:-1])
    return field


def summit(before, middle, after):
    """Where the parabola through three values is highest, from the middle one on."""
    bend = before - 2 * middle + after
    return np.clip(0.5 * (before - after) / bend, -0.5, 0.5) if bend < 0 else 0.0


def offset(piece, usual):
    """Pixels that a piece `[c, h, w]` lies down and to the right of the mean's picture `usual`."""
    side = len(usual)
    ours, theirs = edges(usual), edges(resized(piece.mean(0), side, side))
    agreement = np.fft.ifft2(np.conj(np.fft.fft2(ours)) * np.fft.fft2(theirs)).real
    reach = side // 8
    window = np.roll(agreement, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    y, x = np.unravel_index(window.argmax(), window.shape)
    y, x = y - reach, x - reach
    peak = agreement[y, x]
    if peak < 0.5 * np.linalg.norm(ours) * np.linalg.norm(theirs):
        return 0, 0
    y, x = (
        y + summit(agreement[y - 1, x], peak, agreement[(y + 1) % side, x]),
        x + summit(agreement[y, x - 1], peak, agreement[y, (x + 1) % side]),
    )
    return round(y * piece.shape[1] / side), round(x * piece.shape[2] / side)


def shifted(plane, down, right):
    """A plane moved by parts of a pixel, its border going on."""
    rows = np.clip(np.arange(plane.shape[0]) - down, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(plane.shape[1]) - right, 0, plane.shape[1] - 1)
    for axis, places in enumerate([rows, columns]):
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, plane.shape[axis] - 1)
        part = (places - low)[:, None] if axis == 0 else places - low
        plane = plane.take(low, axis) * (1 - part) + plane.take(high, axis) * part
    return plane


def picture(folder, name):
    """A grey picture that lies beside the files, 0 to 1."""
    return np.asarray(Image.open(folder / name).convert("L"), np.float32) / 255


def prepared(piece, steps, folder):
    """A piece `[h, w, c]` of bytes as the graph takes it: the steps before it."""
    x = piece.transpose(2, 0, 1).astype(np.float32)
    for step in steps:
        if step["step"] == "divide-by-white":
            x = x / np.float32(step["white"]["uint8"])
        elif step["step"] == "align":
            down, right = offset(x, picture(folder, step["to"]))
            x = np.stack([shifted(plane, -down, -right) for plane in x]).astype(np.float32)
        elif step["step"] == "blank-outside":
            x = x * (picture(folder, step["roi"]) >= 0.5)
        elif step["step"] == "resize":
            x = np.stack([resized(plane, step["height"], step["width"]) for plane in x])
        else:
            sys.exit(f"this script does not know the step {step}")
    return x


def image_score(plane, window):
    """The largest mean of a map over a window, zeros outside."""
    padded = np.pad(plane.astype(np.float64), window // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window))
    return windows.mean((2, 3)).max()


def finished(maps, scores, pieces, facts, folder):
    """The graph's maps `[n, 1, h, w]` on the photographs, and their scores: the steps after it."""
    if not facts["after"]:
        return maps, scores
    (step,) = facts["after"]
    if step["step"] != "move-back":
        sys.exit(f"this script does not know the step {step}")
    to, back = next(step["to"] for step in facts["before"] if step["step"] == "align"), []
    for (plane,), piece in zip(maps, pieces):
        white = facts["before"][0]["white"]["uint8"]
        down, right = offset(piece.transpose(2, 0, 1) / np.float32(white), picture(folder, to))
        height, width = piece.shape[:2]
        back.append(shifted(plane, down * plane.shape[0] / height, right * plane.shape[1] / width))
    return np.stack(back)[:, None], np.array([image_score(plane, step["window"]) for plane in back])


def run(runner, pieces, batch):
    """Outputs of all pieces, in batches."""
    rows = []
    for start in range(0, len(pieces), batch):
        found = runner(np.stack(pieces[start : start + batch]))
        rows.append(found)
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def furthest(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(ours))))


def decisions(scores, rule):
    fails = scores >= rule["fail_at"]
    review = scores >= (rule["fail_at"] if rule["review_at"] is None else rule["review_at"])
    return np.where(fails, "fail", np.where(review, "review", "pass"))


class Table:
    def __init__(self):
        self.worst = 0.0
        self.changed = 0

    def row(self, file, runtime, batch, what, off):
        self.worst = max(self.worst, off)
        print(f"{file:22} {runtime:12} batch {batch}  {what:14} {off:.2e}", flush=True)

    def decided(self, file, runtime, batch, ours, theirs):
        changed = int(np.sum(np.asarray(ours) != theirs))
        self.changed += changed
        print(f"{file:22} {runtime:12} batch {batch}  {'decisions':14} {changed} changed", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("bundle")
    parser.add_argument("data")
    parser.add_argument("--pieces")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments, folder):
    program, bundle, data = arguments.program, arguments.bundle, arguments.data
    size = ["--pieces", arguments.pieces] if arguments.pieces else []
    goma(program, "export", bundle, "--onnx", folder / "onnx", *size)
    summary = json.loads((folder / "onnx/export.json").read_text())
    goma(program, "score", bundle, data, "--out", folder / "scored", "--maps", "--no-heatmaps")
    with open(folder / "scored/scores.csv", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["status"] == "ok"]
    pieces = [np.load(row["path"]) for row in rows]
    ids = [row["id"] for row in rows]
    decided = [row["decision"] for row in rows]
    print(f"{summary['model']} on {len(pieces)} pieces; goma's own check: {summary['check']['largest']}")
    table = Table()
    files = {entry["file"]: folder / "onnx" / entry["file"] for entry in summary["files"]}
    for file, path in files.items():
        facts = described(path)
        for runtime, make in RUNTIMES.items():
            runner = make(path)
            for batch in (1, 3):
                said = (file, runtime, batch)
                if file == "anomaly.onnx":
                    fed = [prepared(piece, facts["before"], folder / "onnx") for piece in pieces]
                    found = run(runner, fed, batch)
                    maps = np.stack([np.load(folder / f"scored/maps/{i}.npy") for i in ids])
                    outputs = found["map"], found["score"]
                    maps_found, found_scores = finished(*outputs, pieces, facts, folder / "onnx")
                    table.row(*said, "map", furthest(maps[:, None], maps_found))
                    scores = np.array([float(row["anomaly_score"]) for row in rows])
                    table.row(*said, "score", furthest(scores, found_scores))
                    if summary["model"] == "draem":
                        theirs = decisions(found_scores, facts["rule"])
                        table.decided(*said, decided, theirs)
                elif file == "image-features.onnx":
                    fed = [prepared(piece, facts["before"], folder / "onnx") for piece in pieces]
                    found = run(runner, fed, batch)
                    out = folder / "features.npy"
                    goma(program, "features", bundle, data, "--out", out, "--force")
                    table.row(*said, "features", furthest(np.load(out), found["features"]))
                elif file == "map-features.onnx":
                    maps = [np.load(folder / f"scored/maps/{i}.npy")[None] for i in sorted(ids)]
                    found = run(runner, maps, batch)
                    out = folder / "map-features.npy"
                    side = backbone_side(facts, maps[0].shape[1])
                    weights = Path(bundle) / "backbone.safetensors"
                    goma(
                        program, "features", folder / "scored/maps", "--weights", weights,
                        "--size", side, "--out", out, "--force",
                    )  # fmt: skip
                    table.row(*said, "features", furthest(np.load(out), found["features"]))
                else:
                    fed = [prepared(piece, facts["before"], folder / "onnx") for piece in pieces]
                    found = run(runner, fed, batch)
                    probabilities = np.array(
                        [[float(row[f"p_{c}"]) for c in facts["classes"]] for row in rows]
                    )
                    table.row(*said, "probabilities", furthest(probabilities, found["probabilities"]))
                    p_defect = 1 - found["probabilities"][:, facts["classes"].index("good")]
                    table.decided(*said, decided, decisions(p_defect, facts["rule"]))
    print(f"largest difference {table.worst:.2e}, {table.changed} decisions changed")
    if table.worst > TOLERANCE or table.changed:
        sys.exit("the exported files differ from goma")


def backbone_side(facts, side):
    """Pixels a side that the backbone sees of a map."""
    reduced = [step["height"] for step in facts["within"] if step["step"] == "resize"]
    return reduced[0] if reduced else side


if __name__ == "__main__":
    main()
