"""Writes the PyTorch fixtures that crates/model is held to.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch numpy
    /tmp/torch/bin/python crates/model/tests/golden/make_model_goldens.py

No file holds weights or data: both sides draw them from the generator below (golden.rs has its twin), whose numbers
are multiples of 2^-20 in [-1, 1), the same in f32 and f64. All is f64 but the training runs, which are both.

rnn_tanh, rnn_relu, rnn_sigmoid, lstm, gru   outputs, final states, loss and gradient of the CASES
losses                                       losses and slopes at chosen points, kinks and extremes among them
optimizers                                   weights after some of the steps of each rule under each schedule
training                                     a network of 50 units over 100 epochs: the losses on the way

Panels are columns t * B + b, column after column: what a (T, B, rows) tensor is when flat.
"""

import json
import math
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
INPUTS, HIDDEN, STEPS, BATCH = 3, 4, 5, 2
# Labels a step: the second one reads its outputs behind the first one's.
HORIZONS = 2
DELTA, LEVELS, CLASSES = 1.5, (0.1, 0.5, 0.9), 3
WIDTHS = {"mse": 1, "huber": 1, "pinball": 3, "gaussian_nll": 2, "cross_entropy": 3}
# Layers, skip, loss.
CASES = [
    (1, True, "mse"),
    (1, False, "huber"),
    (2, True, "pinball"),
    (2, False, "gaussian_nll"),
    (3, True, "cross_entropy"),
    (3, False, "mse"),
]


class Draws:
    """Knuth's MMIX generator; its upper 21 bits as a number in [-1, 1)."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 43) / 2**20 - 1.0

    def tensor(self, shape, scale=1.0):
        return torch.tensor([scale * self.next() for _ in range(math.prod(shape))]).reshape(shape)

    def number(self, below):
        """A whole number in 0..below."""
        return math.floor((self.next() + 1.0) * 0.5 * below)


def flat(tensor):
    return tensor.detach().reshape(-1).tolist()


def write(name, entries):
    lines = ",\n".join(f'"{key}": {json.dumps(values)}' for key, values in entries.items())
    (HERE / f"{name}.json").write_text("{\n" + lines + "\n}\n")


def loss_of(name, outputs, label):
    """Of outputs (…, width) and labels (…); not reduced."""
    if name == "mse":
        return nn.MSELoss(reduction="none")(outputs[..., 0], label)
    if name == "huber":
        return nn.HuberLoss(reduction="none", delta=DELTA)(outputs[..., 0], label)
    if name == "pinball":
        # PyTorch has none; this is the usual way to write it there.
        levels = torch.tensor(LEVELS, dtype=outputs.dtype)
        error = label[..., None] - outputs
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)
    if name == "gaussian_nll":
        return nn.GaussianNLLLoss(reduction="none")(outputs[..., 0], label, outputs[..., 1].exp())
    rows = outputs.reshape(-1, outputs.shape[-1])
    return nn.CrossEntropyLoss(reduction="none")(rows, label.reshape(-1).long()).reshape(label.shape)


class SigmoidRnn(nn.Module):
    """nn.RNN's equation with a sigmoid, which nn.RNN does not offer; its names and orders."""

    def __init__(self, inputs, hidden, layers):
        super().__init__()
        self.layers = layers
        for layer in range(layers):
            below = inputs if layer == 0 else hidden
            for name, shape in [("weight_ih", (hidden, below)), ("weight_hh", (hidden, hidden)),
                                ("bias_ih", (hidden,)), ("bias_hh", (hidden,))]:
                self.register_parameter(f"{name}_l{layer}", nn.Parameter(torch.empty(shape)))

    def forward(self, x, h0):
        ends = []
        for layer in range(self.layers):
            w_ih, w_hh, b_ih, b_hh = (
                getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h, outputs = h0[layer], []
            for step in x:
                h = torch.sigmoid(step @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
                outputs.append(h)
            x = torch.stack(outputs)
            ends.append(h)
        return x, torch.stack(ends)


CELLS = {
    "rnn_tanh": lambda *sizes: nn.RNN(*sizes),
    "rnn_relu": lambda *sizes: nn.RNN(*sizes, nonlinearity="relu"),
    "rnn_sigmoid": SigmoidRnn,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def network(cell, seed, layers, with_skip, loss_name):
    draws = Draws(seed)
    module = CELLS[cell](INPUTS, HIDDEN, layers)
    head = nn.Linear(HIDDEN, HORIZONS * WIDTHS[loss_name])
    skip = nn.Linear(INPUTS, HORIZONS * WIDTHS[loss_name], bias=False)
    parameters = [*module.parameters(), *head.parameters(), *(skip.parameters() if with_skip else [])]
    for parameter in parameters:
        parameter.data = draws.tensor(parameter.shape, 0.75)
    x = draws.tensor((STEPS, BATCH, INPUTS))
    start = [draws.tensor((layers, BATCH, HIDDEN), 0.5) for _ in range(2 if cell == "lstm" else 1)]
    h, end = module(x, tuple(start) if cell == "lstm" else start[0])
    y = head(h) + skip(x) if with_skip else head(h)
    shape = (STEPS, BATCH, HORIZONS)
    if loss_name == "cross_entropy":
        label = torch.tensor([float(draws.number(CLASSES)) for _ in range(math.prod(shape))]).reshape(shape)
    else:
        label = draws.tensor(shape, 2.0)
    # About half of the labels do not count.
    weight = draws.tensor(shape).clamp(min=0.0)
    loss = (weight * loss_of(loss_name, y.reshape(*shape, WIDTHS[loss_name]), label)).sum()
    loss.backward()
    ends = end if cell == "lstm" else (end,)
    return {
        "outputs": flat(y),
        "end": [value for state in ends for value in flat(state)],
        "loss": [loss.item()],
        "gradient": [value for parameter in parameters for value in flat(parameter.grad)],
    }


def networks():
    for number, cell in enumerate(CELLS):
        entries = {}
        for case, (layers, with_skip, loss_name) in enumerate(CASES):
            values = network(cell, 100 * number + case, layers, with_skip, loss_name)
            entries |= {f"{case}.{name}": array for name, array in values.items()}
        write(cell, entries)


def losses():
    """Each row: the outputs, then the label. Pinball's tie is left out: PyTorch halves its slope there, we do not."""
    points = {
        "mse": [[3.0, 1.0], [-0.5, 2.25], [1.0, 1.0]],
        "huber": [[1.0, 0.0], [1.5, 0.0], [-1.5, 0.0], [0.0, 3.0], [3.0, 0.0], [2.0, 2.0], [1e4, -1e4]],
        "pinball": [[-1.0, 0.0, 1.0, 0.5], [2.0, 1.0, -3.0, 0.25], [4.0, 5.0, 6.0, -1e4]],
        # e^-20 is below the floor of the variance.
        "gaussian_nll": [[0.5, 0.25, -1.0], [1.0, -3.0, 1.0], [0.25, -20.0, 0.25], [0.25, -20.0, 0.5],
                         [0.0, -13.0, 0.125], [2.0, 30.0, -2.0]],
        "cross_entropy": [[0.1, -0.2, 0.3, 0.0], [0.1, -0.2, 0.3, 2.0], [0.0, 0.0, 0.0, 1.0],
                          [1000.0, 990.0, 0.0, 0.0], [1000.0, 990.0, 0.0, 1.0], [-1000.0, -1e4, 5.0, 1.0]],
    }
    entries = {}
    for name, rows in points.items():
        values = torch.tensor(rows)
        outputs, label = values[:, :-1].clone().requires_grad_(), values[:, -1]
        loss = loss_of(name, outputs, label)
        loss.sum().backward()
        entries |= {f"{name}.points": flat(values), f"{name}.losses": flat(loss),
                    f"{name}.slopes": flat(outputs.grad)}
    write("losses", entries)


RULES = {
    "sgd": lambda params, lr: torch.optim.SGD(params, lr),
    "momentum": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9),
    "adam": lambda params, lr: torch.optim.Adam(params, lr),
    "adamw": lambda params, lr: torch.optim.AdamW(params, lr, weight_decay=0.1),
    "rmsprop": lambda params, lr: torch.optim.RMSprop(params, lr, alpha=0.95),
}
LR, WARM_UP, END, FLOOR, UPDATES, WEIGHTS = 0.02, 10, 60, 0.1, 70, 6


def schedule(name, optimizer):
    """What sets the learning rate of the next update, to be called after each."""
    def warm_up(length):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / length))

    if name == "constant":
        return lambda done: None
    if name == "warm_up":
        course = warm_up(WARM_UP)
        return lambda done: course.step()
    courses = [warm_up(WARM_UP)]

    def cosine(done):
        if done == WARM_UP:
            # A schedule of its own, from the full rate.
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] = LR
            courses.append(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, END - WARM_UP, FLOOR * LR))
        elif done <= END:
            # It would rise again after its end.
            courses[-1].step()

    return cosine


def optimizers():
    entries = {}
    for rule, make in RULES.items():
        for course in ("constant", "warm_up", "cosine"):
            draws = Draws(1)
            params = nn.Parameter(draws.tensor((WEIGHTS,)))
            optimizer = make([params], LR)
            follow = schedule(course, optimizer)
            norms, rates = [], []
            for update in range(UPDATES):
                params.grad = draws.tensor((WEIGHTS,), 0.25 if update % 2 else 2.0)
                norms.append(nn.utils.clip_grad_norm_([params], 1.0).item())
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                follow(update + 1)
                if update + 1 in (1, 2, 10, 30, 60, 70):
                    entries[f"{rule}.{course}.{update + 1}"] = flat(params)
            entries["norms"], entries[f"{course}.rates"] = norms, rates
    write("optimizers", entries)


# One batch: with more, Adam at this rate strays by chance, and f32 from f64, before it settles.
FEATURES, UNITS, LENGTH, SEQUENCES, EPOCHS = 10, 50, 20, 32, 100


class ManyToOne(nn.Module):
    """A simple RNN and a fully connected layer on its last step: the textbook's network."""

    def __init__(self, outputs, draws):
        super().__init__()
        self.rnn = nn.RNN(FEATURES, UNITS)
        self.head = nn.Linear(UNITS, outputs)
        for parameter in self.parameters():
            parameter.data = draws.tensor(parameter.shape, 1.0 / math.sqrt(UNITS))

    def forward(self, x):
        return self.head(self.rnn(x)[0][-1])


def train(task, dtype):
    """The mean of the first feature is to be found, or which third of the line it lies in."""
    torch.set_default_dtype(torch.float64)
    draws = Draws(2 if task == "regression" else 3)
    model = ManyToOne(1 if task == "regression" else CLASSES, draws).to(dtype)
    sequences, labels = [], []
    for _ in range(SEQUENCES):
        x = draws.tensor((LENGTH, FEATURES))
        total = 0.0
        for value in x[:, 0].tolist():
            total += value
        noisy = total / LENGTH + 0.05 * draws.next()
        sequences.append(x)
        labels.append(noisy if task == "regression" else float((noisy > -0.05) + (noisy > 0.05)))
    x, label = torch.stack(sequences, 1).to(dtype), torch.tensor(labels).to(dtype)
    name = "mse" if task == "regression" else "cross_entropy"
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    curve, accuracy = [], []
    for epoch in range(EPOCHS + 1):
        if epoch % 10 == 0:
            with torch.no_grad():
                y = model(x)
                curve.append(loss_of(name, y, label).mean().item())
                accuracy.append((y.argmax(-1) == label).double().mean().item())
        if epoch == EPOCHS:
            break
        optimizer.zero_grad()
        loss_of(name, model(x), label).mean().backward()
        optimizer.step()
    entries = {"losses": curve} | ({"accuracies": accuracy} if task == "classes" else {})
    return {f"{task}.{str(dtype)[6:]}.{key}": values for key, values in entries.items()}


def training():
    runs = [train(task, dtype) for task in ("regression", "classes") for dtype in (torch.float64, torch.float32)]
    write("training", {key: values for run in runs for key, values in run.items()})


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    networks()
    losses()
    optimizers()
    training()
