"""One step of one series as deep-river makes it: predict_one, then learn_one on the window of the last steps, with the
newest step's label. It must not know what it is compared with.

    python deep_river_step.py lstm 8 32 16
"""

import math
import sys

import torch
from deep_river.regression import LSTMRegressor, RNNRegressor, RollingRegressor

import clock

PERIOD = 97


class Gru(torch.nn.Module):
    """As deep-river's own modules for LSTM and RNN: a linear head on the last state."""

    def __init__(self, n_features, hidden_size):
        super().__init__()
        self.n_features, self.hidden_size = n_features, hidden_size
        self.gru = torch.nn.GRU(n_features, hidden_size)
        self.head = torch.nn.Linear(hidden_size, 1)

    def forward(self, x):
        return self.head(self.gru(x)[1][-1])


def regressor(cell, inputs, hidden, window):
    shared = {"loss_fn": "mse", "optimizer_fn": "adam", "lr": 1e-3, "window_size": window, "gradient_clip_value": 1.0}
    if cell == "gru":
        return RollingRegressor(module=Gru(inputs, hidden), **shared)
    kind = {"lstm": LSTMRegressor, "rnn": RNNRegressor}[cell]
    return kind(n_features=inputs, hidden_size=hidden, **shared)


def main():
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    cell, (inputs, hidden, window) = sys.argv[1], [int(argument) for argument in sys.argv[2:5]]
    model = regressor(cell, inputs, hidden, window)
    rows = [
        {f"x{k}": math.sin(math.tau * t * (k % 7 + 1) / PERIOD) for k in range(inputs)} for t in range(PERIOD)
    ]
    step_of = iter(range(sys.maxsize))

    def step():
        x = rows[next(step_of) % PERIOD]
        forecast = model.predict_one(x)
        model.learn_one(x, x["x0"])
        return forecast

    for _ in range(2 * window):
        step()
    clock.serve({"deep-river": step})


if __name__ == "__main__":
    main()
