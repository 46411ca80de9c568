"""One training step as PyTorch makes it: nn.RNN, nn.LSTM or nn.GRU with nn.Linear on every step, mean squared error,
clip_grad_norm_, Adam. It must not know what it is compared with.

    python torch_step.py lstm 8 32 16 8 eager|module|unrolled|reduce-overhead

`eager` times four ways (Adam's default and its fused form, with and without oneDNN); the others are torch.compile:
`module` leaves nn.LSTM as one call between compiled parts, which is the default, `unrolled` compiles the recurrence
itself, step by step, and `reduce-overhead` is that in this mode.
"""

import contextlib
import sys

import torch

import clock


class Network(torch.nn.Module):
    def __init__(self, cell, inputs, hidden):
        super().__init__()
        self.cell = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](inputs, hidden)
        self.head = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.cell(x)[0])


def training(cell, inputs, hidden, steps, batch, fused=False, compiled=None):
    """A function that makes one step; `compiled` is what torch.compile takes, or None."""
    torch.manual_seed(1)
    network = Network(cell, inputs, hidden)
    x, labels = torch.randn(steps, batch, inputs), torch.randn(steps, batch, 1)
    params = list(network.parameters())
    optimizer = torch.optim.Adam(params, lr=1e-3, fused=fused)

    def loss_of():
        return torch.nn.functional.mse_loss(network(x), labels)

    def update():
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    if compiled:
        loss_of, update = torch.compile(loss_of, **compiled), torch.compile(update, **compiled)

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        update()
        return loss

    return step


def without_onednn(step):
    def plain():
        with torch.backends.mkldnn.flags(enabled=False):
            return step()

    return plain


def main():
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    cell, way = sys.argv[1], sys.argv[6]
    shape = [int(argument) for argument in sys.argv[2:6]]
    if way == "eager":
        works = {"eager": training(cell, *shape), "eager, fused Adam": training(cell, *shape, fused=True)}
        works |= {f"{name}, no oneDNN": without_onednn(step) for name, step in works.items()}
    else:
        mode = "reduce-overhead" if way == "reduce-overhead" else "default"
        works = {way: training(cell, *shape, compiled={"mode": mode})}
        if way != "module":
            torch._dynamo.config.allow_rnn = True
            # Else the LSTM becomes oneDNN's layer again, on which the compiler fails.
            torch.backends.mkldnn.enabled = False
    with contextlib.redirect_stdout(sys.stderr):
        for step in works.values():
            for _ in range(3):
                step()
    clock.serve(works)


if __name__ == "__main__":
    main()
