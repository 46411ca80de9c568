"""Writes the PyTorch fixtures that src/model is held to.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch numpy
    /tmp/torch/bin/python tests/golden/make_model_goldens.py

Each network file: two layers in double precision over T steps of B series from a random state; the loss is the
sum of mask * huber(output - target), so its gradient is held too. Panels are columns t * B + b, column after column.
"""

import json
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
INPUTS, HIDDEN, LAYERS, OUTPUTS, STEPS, BATCH = 3, 4, 2, 2, 6, 3
DELTA = 1.5


def flat(tensor):
    return tensor.detach().reshape(-1).tolist()


def write(name, entries):
    lines = ",\n".join(f'"{key}": {json.dumps(values)}' for key, values in entries.items())
    (HERE / f"{name}.json").write_text("{\n" + lines + "\n}\n")


def network(name, module):
    torch.manual_seed(7)
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    head = torch.nn.Linear(HIDDEN, OUTPUTS)
    skip = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    x = torch.randn(STEPS, BATCH, INPUTS)
    h0 = torch.randn(LAYERS, BATCH, HIDDEN) * 0.5
    c0 = torch.randn(LAYERS, BATCH, HIDDEN) * 0.5
    lstm = isinstance(module, torch.nn.LSTM)
    h, end = module(x, (h0, c0) if lstm else h0)
    y = head(h) + skip(x)
    target = torch.randn_like(y) * 2
    mask = (torch.rand_like(y) < 0.6).to(y.dtype)
    loss = (mask * torch.nn.HuberLoss(reduction="none", delta=DELTA)(y, target)).sum()
    loss.backward()
    parameters = [*module.parameters(), *head.parameters(), *skip.parameters()]
    hn, cn = end if lstm else (end, None)
    write(name, {
        "params": [value for p in parameters for value in flat(p)],
        "inputs": flat(x), "h0": flat(h0), "outputs": flat(y), "hn": flat(hn),
        **({"c0": flat(c0), "cn": flat(cn)} if lstm else {}),
        "target": flat(target), "mask": flat(mask), "loss": [loss.item()],
        "gradient": [value for p in parameters for value in flat(p.grad)],
    })


def adam():
    torch.manual_seed(7)
    params = torch.nn.Parameter(torch.randn(6, dtype=torch.float32))
    optimizer = torch.optim.Adam([params], lr=0.01)
    entries = {"initial": flat(params)}
    for step in range(5):
        gradient = torch.randn(6, dtype=torch.float32) * (0.2 if step % 2 else 2.0)
        params.grad = gradient.clone()
        entries[f"gradient_{step}"] = flat(gradient)
        entries[f"norm_{step}"] = [torch.nn.utils.clip_grad_norm_([params], 1.0).item()]
        optimizer.step()
        entries[f"params_{step}"] = flat(params)
    write("adam", entries)


if __name__ == "__main__":
    adam()
    torch.set_default_dtype(torch.float64)
    network("rnn_tanh", torch.nn.RNN(INPUTS, HIDDEN, LAYERS))
    network("rnn_relu", torch.nn.RNN(INPUTS, HIDDEN, LAYERS, nonlinearity="relu"))
    network("lstm", torch.nn.LSTM(INPUTS, HIDDEN, LAYERS))
    network("gru", torch.nn.GRU(INPUTS, HIDDEN, LAYERS))
