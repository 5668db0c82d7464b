"""Recurrent classifiers of texts: word numbers [B, T], PAD behind each text, to logits [B, classes]."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from a1.text import PAD, UNKNOWN


class SentimentLSTM(nn.Module):
    """The baseline: embedding, LSTM layers with dropout after each, a linear layer on the last word's state.

    Padding stands behind the words, so it cannot reach their states; and of each text the state at its last
    *word* is taken, not the last of the batch's T steps.
    """

    def __init__(
        self,
        words: int,
        embedding_size: int = 100,
        hidden_size: int = 64,
        layers: int = 3,
        dropout: float = 0.3,
        classes: int = 3,
    ):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size, padding_idx=PAD)
        widths = [embedding_size] + [hidden_size] * layers
        self.lstms = nn.ModuleList(
            nn.LSTM(inputs, outputs, batch_first=True) for inputs, outputs in zip(widths, widths[1:])
        )
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(layers))
        self.head = nn.Linear(hidden_size, classes)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.embedding(words)  # [B, T, E]
        for lstm, dropout in zip(self.lstms, self.dropouts):
            x, _ = lstm(x)  # [B, T, H]
            x = dropout(x)
        return self.head(self.last_state(x, words))

    def last_state(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """State at each text's last word: [B, H]."""
        last = (words != PAD).sum(1).clamp(min=1) - 1
        return x[torch.arange(len(x), device=x.device), last]


class PacedEmbedding(nn.Module):
    """Word vectors that move `rate` times as fast as other weights do under Adam; 0 keeps them as they are.

    An Adam step is about as long as the learning rate, whatever the gradient's size. So with vectors stored
    divided by `rate` and multiplied on the way out, a step moves them by `rate` times the learning rate.
    A run is known by the vectors' `name`, not by their last digits.
    """

    def __init__(
        self,
        words: int,
        size: int = 100,
        vectors: torch.Tensor | None = None,
        rate: float = 1.0,
        name: str = "given",
    ):
        super().__init__()
        self.rate, self.scale = rate, rate or 1.0
        self.start = name if vectors is not None else "random"
        self.weight = nn.Parameter(torch.empty(words, size), requires_grad=rate > 0)
        with torch.no_grad():
            if vectors is None:
                self.weight.normal_(0, 0.4 / self.scale)  # GloVe's scale
                self.weight[PAD] = 0
            else:
                self.weight.copy_(vectors / self.scale)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.scale * F.embedding(words, self.weight, padding_idx=PAD)

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.weight.shape))}, vectors={self.start}, rate={self.rate}"


class LockedDropout(nn.Module):
    """Dropout of whole channels: one mask for all words of a text, [B, T, F] -> [B, T, F].

    Source: Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks,
    2016.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return x
        return x * F.dropout(x.new_ones(len(x), 1, x.shape[2]), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Attention(nn.Module):
    """Weighted mean of a text's states, the weights learned; padding has weight 0.

    Source: Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016, equations 5
    to 7.
    """

    def __init__(self, size: int):
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def weights(self, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """x: [B, T, F]; real: bool [B, T], True for words. Returns [B, T], each row's sum 1."""
        scores = self.query(torch.tanh(self.hidden(x))).squeeze(2)
        return scores.masked_fill(~real, float("-inf")).softmax(1)

    def forward(self, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return (self.weights(x, real).unsqueeze(1) @ x).squeeze(1)  # [B, F]


class NgramScores(nn.Module):
    """A linear classifier beside the network: scores of words and pairs of words, [B, T] -> [B, classes].

    Pairs are numbered by a hash, so that few share a number. The sum is divided by the root of its length,
    and in training each n-gram is left out with probability `dropout`. Source: Cheng et al., Wide and Deep
    Learning, 2016.
    """

    def __init__(self, classes: int, buckets: int = 2**17, dropout: float = 0.5):
        super().__init__()
        self.buckets, self.dropout = buckets, nn.Dropout(dropout)
        self.scores = nn.EmbeddingBag(buckets, classes, mode="sum")
        nn.init.zeros_(self.scores.weight)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        pairs = (words[:, :-1] * 1_000_003 + words[:, 1:]) % self.buckets
        real = torch.cat([words, words[:, :-1] * words[:, 1:]], 1) != PAD
        counted = self.dropout(real.float() / real.sum(1, keepdim=True).clamp(min=1).sqrt())
        return self.scores(torch.cat([words, pairs], 1), per_sample_weights=counted)

    def extra_repr(self) -> str:
        return f"buckets={self.buckets}"


class AttentiveRNN(nn.Module):
    """The improved network: recurrent layers in both directions, and attention over their states.

    Every ingredient can be taken away: `kind` "lstm" or "gru", `bidirectional`, `attention` (without it the
    last states of all directions are taken), `pooling` (maximum and mean of the states stand beside either),
    `vectors`, their `name` and `rate` (see PacedEmbedding), `spatial` dropout of channels, `word_dropout` (a
    word becomes unknown), `ngrams` (see NgramScores).
    """

    def __init__(
        self,
        words: int,
        embedding_size: int = 100,
        hidden_size: int = 64,
        layers: int = 1,
        dropout: float = 0.4,
        classes: int = 3,
        kind: str = "lstm",
        bidirectional: bool = True,
        attention: bool = True,
        pooling: bool = True,
        vectors: torch.Tensor | None = None,
        name: str = "given",
        rate: float = 1.0,
        spatial: float = 0.2,
        word_dropout: float = 0.1,
        ngrams: bool = False,
    ):
        super().__init__()
        size = hidden_size * (1 + bidirectional)
        self.word_dropout, self.pooling = word_dropout, pooling
        self.embedding = PacedEmbedding(words, embedding_size, vectors, rate, name)
        self.spatial = LockedDropout(spatial)
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.recurrent = nn.ModuleList(
            layer(inputs, hidden_size, batch_first=True, bidirectional=bidirectional)
            for inputs in [embedding_size] + [size] * (layers - 1)
        )
        self.between = LockedDropout(dropout)
        self.attention = Attention(size) if attention else None
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size * (1 + 2 * pooling), classes)
        self.ngrams = NgramScores(classes) if ngrams else None

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        states, last = self.read(words)
        real = words != PAD
        text = self.attention(states, real) if self.attention else last  # [B, F]
        if self.pooling:
            highest = states.masked_fill(~real.unsqueeze(2), float("-inf")).amax(1)
            mean = states.sum(1) / real.sum(1, keepdim=True)  # states of padding are 0
            text = torch.cat([text, highest, mean], 1)  # [B, 3 F]
        logits = self.head(self.dropout(text))
        return logits + self.ngrams(words) if self.ngrams else logits

    def read(self, words: torch.Tensor):
        """States of the top layer at every word, [B, T, F], and where each direction ended, [B, F].

        Packed sequences start the backward direction at each text's last word, not in its padding.
        """
        if self.training and self.word_dropout:
            lost = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(lost & (words != PAD), UNKNOWN)
        lengths = (words != PAD).sum(1).clamp(min=1).cpu()
        x = self.spatial(self.embedding(words))
        for number, layer in enumerate(self.recurrent):
            x = self.between(x) if number else x
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            packed, state = layer(packed)
            x, _ = pad_packed_sequence(packed, batch_first=True, total_length=words.shape[1])
        h_n = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (h_n, c_n)
        return x, h_n.transpose(0, 1).flatten(1)

    def attend(self, words: torch.Tensor) -> torch.Tensor:
        """Attention weights of every word, [B, T]."""
        return self.attention.weights(self.read(words)[0], words != PAD)

    def extra_repr(self) -> str:
        return f"word_dropout={self.word_dropout}, pooling={self.pooling}"


class Averaged(nn.Module):
    """A network that is evaluated with the running mean of its weights over the last training steps.

    Before each step the means move by 1 - `decay` towards the weights, faster at the start. Source: Polyak
    and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; in this form as in Tarvainen
    and Valpola, 2017.
    """

    def __init__(self, network: nn.Module, decay: float = 0.99):
        super().__init__()
        self.network, self.decay = network, decay
        self.names = {name: "mean_of_" + name.replace(".", "_") for name, _ in network.named_parameters()}
        for name, parameter in network.named_parameters():
            self.register_buffer(self.names[name], parameter.detach().clone())
        self.register_buffer("steps", torch.zeros(()))

    @torch.no_grad()
    def update(self):
        self.steps += 1
        share = 1 - min(self.decay, float(self.steps) / (10 + float(self.steps)))
        for name, parameter in self.network.named_parameters():
            getattr(self, self.names[name]).lerp_(parameter, share)

    def means(self):
        """{name of a parameter: its running mean}"""
        return {name: getattr(self, buffer) for name, buffer in self.names.items()}

    def mean_network(self) -> nn.Module:
        """The network with the mean weights, on its own."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.means(), strict=False)  # buffers, if any, stay as they are
        return network.eval()

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.update()
            return self.network(words)
        return torch.func.functional_call(self.network, self.means(), (words,))

    def extra_repr(self) -> str:
        return f"decay={self.decay}"
