"""Small PyTorch checkpoints of every kind that src/nn/weights/pth.rs reads, as hexadecimal.

Run: python tests/reference/checkpoint.py > tests/reference/checkpoint.json
"""

import collections
import io
import json

import torch


def saved(thing, zipped=True):
    out = io.BytesIO()
    torch.save(thing, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue().hex()


def main():
    grid = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    tensors = collections.OrderedDict(
        [
            ("grid", grid),
            ("turned", grid.t()),  # the same storage, other strides
            ("second_row", grid[1]),  # an offset
            ("half", torch.tensor([0.5, -2.0], dtype=torch.float16)),
            ("brain", torch.tensor([0.5, -2.0], dtype=torch.bfloat16)),
            ("double", torch.tensor([0.25], dtype=torch.float64)),
            ("count", torch.tensor(7)),
            ("parameter", torch.nn.Parameter(torch.tensor([1.5]))),
        ]
    )
    wrapped = {"epoch": 3, "state_dict": {"module." + k: v for k, v in tensors.items()}}
    module = torch.nn.Linear(1, 1)
    print(
        json.dumps(
            {
                "zip": saved(tensors),
                "legacy": saved(tensors, zipped=False),
                "wrapped": saved(wrapped),
                "whole_model": saved(module),
            }
        )
    )


if __name__ == "__main__":
    main()
