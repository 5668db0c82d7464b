"""Recurrent classifiers of texts: word numbers [B, T], PAD behind each text, to logits [B, 3]."""

import torch
from torch import nn

from a1.tweets import MASK, PAD


class SentimentLSTM(nn.Module):
    """The baseline: embedding, LSTM layers with dropout after each, a linear layer on the state at
    each text's last word. Padding stands behind the words, so it cannot reach their states."""

    def __init__(self, words, embedding_size=100, hidden_size=64, layers=3, dropout=0.3):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size, padding_idx=PAD)
        widths = [embedding_size] + [hidden_size] * (layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(n, hidden_size, batch_first=True) for n in widths)
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(layers))
        self.head = nn.Linear(hidden_size, 3)

    def forward(self, words):
        x = self.embedding(words)  # [B, T, E]
        for lstm, dropout in zip(self.lstms, self.dropouts):
            x = dropout(lstm(x)[0])  # [B, T, H]
        return self.head(x[torch.arange(len(x), device=x.device), self.last(words)])

    def last(self, words):
        """Place of each text's last word, int64 [B]."""
        return (words != PAD).sum(1) - 1

    @torch.no_grad()
    def predict_proba(self, words):
        """Class probabilities [B, 3]: the softmax that training leaves to the loss."""
        return self.eval()(words).softmax(1)


class ChannelDropout(nn.Dropout):
    """Dropout of whole channels of [B, T, F]: one mask for all words of a text (Gal, 2016)."""

    def forward(self, x):
        return x * super().forward(x.new_ones(len(x), 1, x.shape[2]))


class BothWays(nn.Module):
    """A bidirectional layer, [B, T, F] and which words are real, bool [B, T], to [B, T, 2 H].

    The second direction reads each text reversed, its padding still behind it: the same numbers as
    nn.LSTM(bidirectional=True) on packed sequences, which are slow on a CPU.
    """

    def __init__(self, kind, inputs, hidden_size, both=True):
        super().__init__()
        make = (kind(inputs, hidden_size, batch_first=True) for _ in range(1 + both))
        self.directions = nn.ModuleList(make)

    def forward(self, x, real):
        steps = torch.arange(x.shape[1], device=x.device)
        turned = (real.sum(1, keepdim=True) - 1 - steps) % x.shape[
            1
        ]  # last word first, then padding

        def turn(states):
            return states.gather(1, turned.unsqueeze(2).expand_as(states))

        states = [self.directions[0](x)[0]]
        for backward in self.directions[1:]:
            states.append(turn(backward(turn(x))[0]))
        return torch.cat(states, 2)


class AttentiveLSTM(nn.Module):
    """The improved network: word vectors [V, E], bidirectional layers with dropout after each,
    attention, maximum and mean over the words' states (or the last states), a linear layer."""

    def __init__(
        self, vectors, hidden_size=64, layers=3, dropout=0.3, kind=nn.LSTM, both=True, pool=True
    ):
        super().__init__()
        size = hidden_size * (1 + both)
        self.embedding = nn.Embedding.from_pretrained(vectors.clone(), False, padding_idx=PAD)
        self.channels, self.lost = ChannelDropout(0.2), 0.1
        widths = [vectors.shape[1]] + [size] * (layers - 1)
        self.layers = nn.ModuleList(BothWays(kind, n, hidden_size, both) for n in widths)
        self.dropouts = nn.ModuleList(ChannelDropout(dropout) for _ in range(layers))
        self.score = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1, bias=False))
        self.score = self.score if pool else None
        pieces = 3 if pool else 1
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(size * pieces, 3))

    def read(self, words):
        """States of the top layer at every word, [B, T, F]."""
        x, real = self.channels(self.embedding(words)), words != PAD
        for layer, dropout in zip(self.layers, self.dropouts):
            x = dropout(layer(x, real))
        return x.float()

    def attention(self, states, real):
        """Weights of the words, [B, T], a text's sum 1; padding gets 0."""
        scores = self.score(states).squeeze(2).float()
        return scores.masked_fill(~real, float("-inf")).softmax(1)

    def forward(self, words):
        real = words != PAD
        if self.training and self.lost:
            lost = torch.rand(words.shape, device=words.device) < self.lost
            words = words.masked_fill(lost & real, MASK)
        x = self.read(words)
        if self.score:
            attended = (self.attention(x, real).unsqueeze(1) @ x).squeeze(1)
            highest = x.masked_fill(~real.unsqueeze(2), float("-inf")).amax(1)
            mean = (x * real.unsqueeze(2)).sum(1) / real.sum(1, keepdim=True)
            return self.head(torch.cat([attended, highest, mean], 1))
        last = x[torch.arange(len(x), device=x.device), real.sum(1) - 1]
        half = x.shape[2] // len(self.layers[0].directions)  # the second direction ends at word 1
        return self.head(torch.cat([last[:, :half], x[:, 0, half:]], 1))

    predict_proba = SentimentLSTM.predict_proba
