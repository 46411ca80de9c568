"""Weights files to PyTorch and back.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch numpy safetensors
    cd crates/model/tests/golden
    /tmp/torch/bin/python roundtrip.py fixture          writes pytorch_gru.safetensors and pytorch_gru.json
    /tmp/torch/bin/python roundtrip.py through IN.safetensors OUT.safetensors RUN.json
                                                        loads a file that tickcast wrote, runs it, writes it back

The JSON holds inputs and outputs of T steps of B series from a zero state: panels of columns t * B + b.
"""

import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
STEPS, BATCH = 6, 2


def net(cell, activation, inputs, hidden, layers, outputs, skip):
    """A recurrent module whose state_dict has exactly tickcast's names."""
    base = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]

    class Net(base):
        def __init__(self):
            super().__init__(inputs, hidden, layers, **({"nonlinearity": activation} if cell == "rnn" else {}))
            self.head = torch.nn.Linear(hidden, outputs)
            if skip:
                self.skip = torch.nn.Linear(inputs, outputs, bias=False)

        def forward(self, x):
            y = self.head(super().forward(x)[0])
            return y + self.skip(x) if skip else y

    return Net()


def run(model, path):
    torch.manual_seed(11)
    x = torch.randn(STEPS, BATCH, model.input_size)
    with torch.no_grad():
        y = model(x)
    entries = {"inputs": x, "outputs": y}
    lines = ",\n".join(f'"{key}": {json.dumps(value.reshape(-1).tolist())}' for key, value in entries.items())
    pathlib.Path(path).write_text("{\n" + lines + "\n}\n")


def fixture():
    torch.manual_seed(7)
    model = net("gru", "tanh", 3, 4, 2, 2, True)
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -0.7, 0.7)
    save_file(model.state_dict(), HERE / "pytorch_gru.safetensors")
    run(model, HERE / "pytorch_gru.json")


def through(source, target, run_path):
    with safe_open(source, "pt") as file:
        said = file.metadata()
    sizes = [int(said[key]) for key in ("inputs", "hidden", "layers", "outputs")]
    model = net(said["cell"], said["activation"], *sizes, said["skip"] == "true")
    model.load_state_dict(load_file(source), strict=True)
    save_file(model.state_dict(), target)
    run(model, run_path)


if __name__ == "__main__":
    {"fixture": fixture, "through": through}[sys.argv[1]](*sys.argv[2:])
