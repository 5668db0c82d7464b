"""Recurrent forecasters."""

import torch
from torch import nn

# Three layers each. "mix" reads the window in both directions first, then sums it up in one.
ARCHITECTURES = {
    "rnn": ("rnn", "rnn", "rnn"),
    "lstm": ("lstm", "lstm", "lstm"),
    "bilstm": ("bilstm", "bilstm", "bilstm"),
    "mix": ("bilstm", "lstm", "gru"),
}


def recurrent_layer(kind, inputs, hidden_size):
    """One recurrent layer [B, T, inputs] -> [B, T, hidden_size].

    kind: "rnn" (tanh), "lstm", "gru", or "bilstm", whose two directions have half of `hidden_size` each.
    """
    if kind == "bilstm":
        return nn.LSTM(inputs, hidden_size // 2, batch_first=True, bidirectional=True)
    return {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind](inputs, hidden_size, batch_first=True)


class Forecaster(nn.Module):
    """Recurrent layers over a window, and two linear ones from their last state to the forecast.

    Takes windows [B, T, inputs], scaled, the active power first, and returns the mean power [B, horizons]
    in kW. `mean` and `std` (kW) are those by which the active power was scaled. The network adds its output
    to the power of the last minute, or where not `residual` to `mean`, and starts with an output of zero:
    as persistence, or as the mean. `meters` are (column, mean, std) of inputs in Wh, by which they were scaled:
    the logarithm of 1 + Wh of each joins the inputs, so that one or two Wh show beside forty. Dropout stands
    between the layers, the last state and the linear layers included. Both directions of a bidirectional layer
    end where they have read the whole window: the last state is h_n, not output[:, -1].
    """

    def __init__(
        self,
        layers: tuple = ARCHITECTURES["lstm"],
        hidden_size: int = 64,
        dropout: float = 0.1,
        mean: float = 0.0,
        std: float = 1.0,
        residual: bool = True,
        inputs: int = 14,
        horizons: int = 1,
        meters: tuple = (),
    ):
        super().__init__()
        self.mean, self.std, self.residual, self.meters = mean, std, residual, meters
        widths = [inputs + len(meters)] + [hidden_size] * (len(layers) - 1)
        self.recurrent = nn.ModuleList(
            recurrent_layer(kind, width, hidden_size) for kind, width in zip(layers, widths)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, horizons),
        )
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = self.mean + (self.std * x[:, -1, :1] if self.residual else 0)  # [B, 1], kW
        if self.meters:
            wh = [(std * x[:, :, [column]] + mean).clamp(min=0) for column, mean, std in self.meters]
            x = torch.cat([x, *map(torch.log1p, wh)], dim=2)
        for number, layer in enumerate(self.recurrent):
            x, state = layer(self.dropout(x) if number else x)
        h_n = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (h_n, c_n)
        last = h_n.transpose(0, 1).flatten(1)  # [directions, B, H] -> [B, hidden_size]
        return start + self.std * self.head(self.dropout(last))

    def extra_repr(self) -> str:
        start = "the last minute" if self.residual else "the mean"
        logs = "".join(f", log of column {column}" for column, _, _ in self.meters)
        return f"kW: {start} + change, mean={self.mean:.6g}, std={self.std:.6g}{logs}"
