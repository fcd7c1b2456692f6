"""Times goma's networks beside PyTorch, onnxruntime and OpenVINO, interleaved in one run.

    python networks.py PEER [--rounds 15] [--only infer|train] [--threads 2] [--simd avx2]
                       [--precision bfloat16]
    python networks.py PEER --weights FOLDER

PEER is the program that `cargo bench --bench peer --no-run` builds (target/release/deps/peer-*).
Needs torch, torchvision, safetensors, onnx, onnxscript, onnxruntime and openvino. All programs get the same random
weights and pictures. The run ends if goma's outputs are further from PyTorch's in double precision
than 1e-4 of the largest value and three times as far as PyTorch's own in single precision (random
networks magnify rounding). With --precision bfloat16 all but onnxruntime, which has no such networks, run
inference in bfloat16, and outputs are held against PyTorch's error in bfloat16. Before each program's
turn there is a pause, in which the threads of the last one stop spinning, and one call that is not
counted. Run it while nothing else runs. Prints medians in milliseconds and the ratio
peer / goma with its quartiles over the rounds (above 1: goma is faster); of training steps also the
peak memory, each program's in a process of its own. --weights writes the networks for versions.py
and times nothing.
"""
import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("peer")
parser.add_argument("--rounds", type=int, default=15)
parser.add_argument("--only", choices=["infer", "train"])
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--simd", help="avx2: keep all programs to AVX2")
parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
parser.add_argument("--weights", type=Path, metavar="FOLDER")
parser.add_argument("--peak-of", nargs=3, help=argparse.SUPPRESS)
args = parser.parse_args()
if args.precision == "bfloat16":
    args.only = "infer"
if args.simd == "avx2":  # before the libraries are loaded
    os.environ.update(GOMA_SIMD="avx2", ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2",
                      MKL_ENABLE_INSTRUCTIONS="AVX2")
os.environ.update(RAYON_NUM_THREADS=str(args.threads), CANDLE_NUM_THREADS=str(args.threads),
                  OMP_NUM_THREADS=str(args.threads))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(0)

# The published DRAEM, as the reference values are made with it.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests/reference"))
import draem_networks  # noqa: E402


class Draem(torch.nn.Module):
    def __init__(self, channels, wide, narrow):
        super().__init__()
        self.reconstructive = draem_networks.Reconstructive(channels, wide)
        self.discriminative = draem_networks.Discriminative(2 * channels, narrow)

    def forward(self, x):
        restored = self.reconstructive(x)
        return self.discriminative(torch.cat((restored, x), 1))


def resnet(name):
    network = getattr(torchvision.models, name)()
    network.conv1 = torch.nn.Conv2d(6, 64, 7, 2, 3, bias=False)
    network.fc = torch.nn.Identity()
    return network


NETWORKS = {  # name: kind, network, side
    "resnet18": ("resnet18", lambda: resnet("resnet18"), 310),
    "resnet50": ("resnet50", lambda: resnet("resnet50"), 310),
    "draem-fast": ("draem", lambda: Draem(6, 16, 8), 128),
    "draem-compact": ("draem", lambda: Draem(6, 32, 16), 256),
}
TRAININGS = [("draem-fast", 128, 8), ("draem-compact", 128, 4), ("draem-compact", 128, 8),
             ("draem-compact", 256, 4), ("draem-compact", 256, 8), ("resnet18", 224, 16)]


def pictures(count, side):
    """Smooth ones: white noise averages out, and batch norm then magnifies rounding errors."""
    coarse = torch.rand(count, 6, max(side // 16, 2), max(side // 16, 2))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return (smooth + 0.05 * torch.rand(count, 6, side, side)).clamp(0, 1)


class Goma:
    def __init__(self):
        # As the program itself does it (src/main.rs).
        environment = {"MIMALLOC_PURGE_DELAY": "5000"} | os.environ
        self.process = subprocess.Popen([args.peer], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1, env=environment)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        return self.process.stdout.readline().split()


def save(network, x, path):
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()
               if not k.endswith("num_batches_tracked")}
    save_file(tensors | {"input": x.contiguous()}, path)


def written(make, side, path):
    """A network and eight pictures, and the file that they are written to."""
    network = make().eval()
    x = pictures(8, side)
    with torch.no_grad():
        # Weights at which signals keep their size, and statistics as of a trained network.
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network(x)
        network.eval()
    save(network, x, path)
    return network, x, path


def timed(work):
    begun = time.perf_counter()
    result = work()
    return 1e3 * (time.perf_counter() - begun), result


def awake(work):
    """The second of two calls, after a pause: see above."""
    time.sleep(0.25)
    work()
    return work()


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def report(what, times):
    goma = times.pop("goma")
    print(f"| {what} | {statistics.median(goma):.1f} | " + " | ".join(
        f"{name} {statistics.median(t):.1f}, {quartiles([b / a for a, b in zip(goma, t)])}"
        for name, t in times.items()) + " |", flush=True)


def inference(folder):
    import onnxruntime
    import openvino
    goma = Goma()
    goma.ask("precision", args.precision)
    short = args.precision == "bfloat16"
    for name, (kind, make, side) in NETWORKS.items():
        network, x, weights = written(make, side, folder / f"{name}.safetensors")
        goma.ask("load", name, kind, weights)
        with torch.no_grad():
            with torch.autocast("cpu", torch.bfloat16, enabled=short):
                single = network(x[:1]).float().numpy().reshape(-1)
            double = copy.deepcopy(network).double()(x[:1].double()).numpy().reshape(-1)
        every = -(-len(double) // 64)
        scale = np.abs(double).max()
        allowed = max(1e-4, 3 * np.abs(single - double).max() / scale)
        found = np.array([float(v) for v in goma.ask("infer", name, 1)[1:]])
        error = np.abs(found - double[::every]).max() / scale
        if not error <= allowed:
            sys.exit(f"{name}: goma is {error:.1e} off, {allowed:.1e} allowed")
        for batch in (1, 8):
            onnx = folder / f"{name}-{batch}.onnx"
            torch.onnx.export(network, (x[:batch],), str(onnx), input_names=["x"], dynamo=True,
                              verbose=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = args.threads
            session = onnxruntime.InferenceSession(str(onnx), options,
                                                   providers=["CPUExecutionProvider"])
            core = openvino.Core()
            config = {"INFERENCE_NUM_THREADS": args.threads,
                      "INFERENCE_PRECISION_HINT": "bf16" if short else "f32"}
            compiled = core.compile_model(str(onnx), "CPU", config)
            last = network.to(memory_format=torch.channels_last)
            x_last = x[:batch].to(memory_format=torch.channels_last)
            numpy = x[:batch].numpy()

            def eager():
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=short):
                    return last(x_last)

            programs = {
                "PyTorch": lambda: timed(eager),
                "onnxruntime": lambda: timed(lambda: session.run(None, {"x": numpy})[0]),
                "OpenVINO": lambda: timed(lambda: compiled(numpy)[0]),
            }
            if short:
                del programs["onnxruntime"]
            times = {"goma": [], **{p: [] for p in programs}}
            for _ in range(args.rounds + 2):
                times["goma"].append(float(awake(lambda: goma.ask("infer", name, batch))[0]))
                for program, work in programs.items():
                    times[program].append(awake(work)[0])
            report(f"{name} {side}, batch {batch}", {p: t[2:] for p, t in times.items()})


def torch_step(kind, network, x):
    """One training step of PyTorch's: forward, losses, backward, optimiser."""
    network = network.train().to(memory_format=torch.channels_last)
    if kind != "draem":
        network.fc = torch.nn.Linear(512, 2)
    adam = torch.optim.AdamW(network.parameters(), 1e-4)
    x = x.to(memory_format=torch.channels_last)
    mask = (x[:, :1] > 0.9).float()
    classes = torch.arange(len(x)) % 2

    def step():
        if kind == "draem":
            restored = network.reconstructive(x)
            scores = network.discriminative(torch.cat((restored, x), 1))
            loss = (((restored - x) ** 2).mean() + draem_networks.ssim_loss(restored, x)
                    + draem_networks.focal_loss(torch.softmax(scores, 1), mask))
        else:
            loss = torch.nn.functional.cross_entropy(network(x), classes)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def resident(field):
    """This process's memory in MB: VmRSS now, VmHWM at most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1e3


def peak_of(name, side, batch):
    """Peak memory of a process that takes three of PyTorch's steps, and its libraries' share, in MB."""
    kind, make, _ = NETWORKS[name]
    libraries = resident("VmRSS")
    step = torch_step(kind, make(), pictures(int(batch), int(side)))
    for _ in range(3):
        step()
    print(f"PyTorch {resident('VmHWM'):.0f} MB, {libraries:.0f} of them its libraries")


def training(folder):
    for name, side, batch in TRAININGS:
        kind, make, _ = NETWORKS[name]
        network, x = make(), pictures(batch, side)
        goma = Goma()  # anew each time, so that peak memory is this network's
        save(network, x, folder / "train.safetensors")
        goma.ask("load", name, kind, folder / "train.safetensors")
        step = torch_step(kind, network, x)
        times = {"goma": [], "PyTorch": []}
        for _ in range(args.rounds // 2 + 3):
            times["goma"].append(float(goma.ask("train", name, batch)[0]))
            times["PyTorch"].append(timed(step)[0])
        memory = int(goma.ask("memory")[0]) / 1e6
        peak = subprocess.check_output([sys.executable, __file__, args.peer, "--threads", str(args.threads),
                                        "--peak-of", name, str(side), str(batch)], text=True)
        report(f"{name} {side}, training, batch {batch}, goma {memory:.0f} MB, {peak.strip()}",
               {p: t[2:] for p, t in times.items()})


if args.peak_of:
    peak_of(*args.peak_of)
    sys.exit()
if args.weights:
    args.weights.mkdir(parents=True, exist_ok=True)
    for name, (_, make, side) in NETWORKS.items():
        written(make, side, args.weights / f"{name}.safetensors")
    sys.exit()
with tempfile.TemporaryDirectory() as temporary:
    print("| network | goma ms | others: ms, times goma's (quartiles) |\n|---|---|---|")
    if args.only != "train":
        inference(Path(temporary))
    if args.only != "infer":
        training(Path(temporary))
