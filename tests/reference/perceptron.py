"""Reference values for src/nn/perceptron.rs, from PyTorch.

    python tests/reference/perceptron.py > tests/reference/perceptron.json

Three dense layers with ReLU, the sum of weight times cross-entropy, Adam with
an L2 penalty and a falling step size; no dropout. Needs torch.
"""

import json

import torch

torch.manual_seed(3)
sizes = [5, 6, 4, 3]
layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
values = lambda: [
    {"weight": l.weight.detach().flatten().tolist(), "bias": l.bias.detach().tolist()} for l in layers
]
before = values()
optimiser = torch.optim.Adam(network.parameters(), lr=0.02, weight_decay=0.01)
batches = []
for step, n in enumerate((7, 7, 7, 3)):
    x = torch.randn(n, sizes[0])
    target = torch.arange(n) % 3
    weight = torch.rand(n)
    rate = 0.02 * 0.9**step
    for group in optimiser.param_groups:
        group["lr"] = rate
    losses = torch.nn.functional.cross_entropy(network(x), target, reduction="none")
    loss = (weight * losses).sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    batches.append(
        {
            "x": x.flatten().tolist(),
            "class": target.tolist(),
            "weight": weight.tolist(),
            "learning_rate": rate,
            "loss": loss.item(),
        }
    )
print(json.dumps({"sizes": sizes, "before": before, "batches": batches, "after": values()}))
