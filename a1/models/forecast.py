"""Recurrent forecasters."""

import torch
from torch import nn

ARCHITECTURES = {  # three layers each; "mix" reads both ways first, then sums up in one
    "rnn": ("rnn", "rnn", "rnn"),
    "lstm": ("lstm", "lstm", "lstm"),
    "bilstm": ("bilstm", "bilstm", "bilstm"),
    "mix": ("bilstm", "lstm", "gru"),
}


def recurrent_layer(kind, inputs, hidden_size):
    """A layer [B, T, inputs] -> [B, T, hidden_size]; "bilstm": half of the units each way."""
    if kind == "bilstm":
        return nn.LSTM(inputs, hidden_size // 2, batch_first=True, bidirectional=True)
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    return layer(inputs, hidden_size, batch_first=True)


class Forecaster(nn.Module):
    """Three recurrent layers over a window, two linear ones from their last state to the forecast.

    Takes windows [B, T, 14], scaled, the power first; returns the next mean power [B, 1], kW.
    level: (mean, std) by which the power was scaled, kW. The output is added to the last minute's
    power, or where not `residual` to the mean. meters: (column, mean, std) of the sub-meters, Wh;
    log(1 + Wh) of each joins the inputs. Dropout stands before every layer but the first.
    """

    def __init__(self, layers, hidden_size, dropout, level, residual=True, meters=()):
        super().__init__()
        self.level, self.residual, self.meters = level, residual, meters
        widths = [14 + len(meters)] + [hidden_size] * (len(layers) - 1)
        made = (recurrent_layer(k, width, hidden_size) for k, width in zip(layers, widths))
        self.recurrent, self.dropout = nn.ModuleList(made), nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, 1),
        )
        nn.init.zeros_(self.head[-1].weight)  # starts from the last minute
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, x):
        mean, std = self.level
        start = mean + (std * x[:, -1, :1] if self.residual else 0)  # [B, 1], kW
        if self.meters:
            wh = [(s * x[:, :, [column]] + m).clamp(min=0) for column, m, s in self.meters]
            x = torch.cat([x, *map(torch.log1p, wh)], dim=2)
        for number, layer in enumerate(self.recurrent):
            x, state = layer(self.dropout(x) if number else x)
        h_n = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (h_n, c_n)
        last = h_n.transpose(0, 1).flatten(1)  # [directions, B, H] -> [B, hidden_size]
        return start + std * self.head(self.dropout(last))
