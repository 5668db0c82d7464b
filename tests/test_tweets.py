"""Part IV's data and networks: no leak, no padding read, dropout where it is said to be."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from a1.models.sentiment import AttentiveLSTM, BothWays, ChannelDropout, SentimentLSTM
from a1.records import differs, probe
from a1.train import RECIPE
from a1.tweets import (
    MASK,
    PAD,
    UNKNOWN,
    Tweets,
    bare,
    build_vocabulary,
    clean,
    encode,
    find_file,
    group_copies,
    normalised,
    read_tweets,
    shares,
    split_tweets,
    vectors_for,
)

WORDS = 60
TEXT = RECIPE | {"optimizer": "adamw", "lr": 3e-3, "other_epochs": 1, "augment": []}
VARIANTS = {
    "all": {},
    "last states": {"pool": False},
    "one direction": {"both": False, "pool": False},
    "gru": {"kind": nn.GRU},
    "one layer": {"layers": 1},
}


def improved(**options):
    """A small improved network, the same every time."""
    torch.manual_seed(0)
    return AttentiveLSTM(torch.randn(WORDS, 20), hidden_size=6, **options)


def baseline(**options):
    """A small baseline, the same every time."""
    torch.manual_seed(0)
    return SentimentLSTM(WORDS, embedding_size=20, hidden_size=6, **options)


def texts():
    """Four texts of nine words and fewer, int64 [4, 9]."""
    torch.manual_seed(1)
    x = torch.randint(MASK + 1, WORDS, (4, 9))
    x[1, 5:], x[2, 1:] = PAD, PAD
    return x


@pytest.mark.parametrize(
    "make",
    [baseline, *(partial(improved, **v) for v in VARIANTS.values())],
    ids=["baseline", *VARIANTS],
)
def test_padding_and_neighbours_do_not_change_outputs(make):
    model, x = make().eval(), texts()
    torch.testing.assert_close(model(F.pad(x, (0, 7), value=PAD)), model(x))
    torch.testing.assert_close(model(x[1:2, :5]), model(x)[1:2])
    assert model.predict_proba(x).sum(1).allclose(torch.ones(4))


@pytest.mark.parametrize("make", [baseline, improved])
def test_dropout_follows_each_of_three_layers(make):
    model = make(dropout=0.5)
    layers = model.lstms if make is baseline else model.layers
    assert len(layers) == len(model.dropouts) == 3
    seen = []
    for number, dropout in enumerate(model.dropouts):
        assert isinstance(dropout, nn.Dropout) and dropout.p == 0.5
        dropout.register_forward_hook(
            lambda _, inputs, output, number=number: seen.append((number, inputs[0], output))
        )
    model.train()(texts())
    assert [number for number, *_ in seen] == [0, 1, 2]
    for _, before, after in seen:
        zero = (after == 0) & (before != 0)
        assert 0.2 < zero.float().mean() < 0.8


def test_channels_are_dropped_for_a_whole_text():
    dropped = ChannelDropout(0.5)(torch.ones(3, 7, 40))
    assert (dropped == dropped[:, :1]).all() and set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(ChannelDropout(0.5).eval()(x := torch.ones(3, 7, 40)), x)


def test_both_ways_is_a_bidirectional_lstm():
    layer, packing = BothWays(nn.LSTM, 10, 8), nn.LSTM(10, 8, batch_first=True, bidirectional=True)
    state = {}
    for name, weight in layer.state_dict().items():
        _, direction, key = name.split(".")
        state[key + "_reverse" * (direction == "1")] = weight
    packing.load_state_dict(state)
    x, real = torch.randn(4, 9, 10), texts() != PAD
    packed = pack_padded_sequence(x, real.sum(1), batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(packing(packed)[0], batch_first=True)
    torch.testing.assert_close(layer(x, real) * real.unsqueeze(2), expected)


def test_words_are_masked_in_training_alone():
    model, x = improved(), texts()
    model.lost = 0.5
    seen = []
    model.embedding.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model.train()(x)
    model.eval()(x)
    masked = seen[0] == MASK
    assert masked.any() and not (masked & (x == PAD)).any()
    assert torch.equal(seen[1], x) and torch.equal(seen[0][~masked], x[~masked])


def test_vocabulary_is_that_of_the_texts_given():
    cut = [["a", "b"], ["a", "c"], ["c", "d"]]
    vocabulary = build_vocabulary(cut, known={"d", "never seen"})
    assert list(vocabulary) == ["<pad>", "<unknown>", "<mask>", "a", "c", "d"]
    x = encode([["a", "b", "c", "d"], []], vocabulary, 3)
    assert x.tolist() == [[3, UNKNOWN, 4], [UNKNOWN, PAD, PAD]]


def test_copies_are_found():
    seven = "my bag was lost on the way to boston"
    a, b, c, d, e = group_copies(
        [f"@united {seven}", f"{seven.upper()}!! http://t.co/x", "thanks", "@jetblue Thanks.", "no"]
    )
    assert a == b and c == d and len({a, c, e}) == 3
    near = [
        f"{seven} today again",
        f"{seven} yesterday",
        "thank you for the tip",
        "thank you for it",
    ]
    a, b, c, d = group_copies(near)
    assert a == b and c != d


def test_copies_stay_in_one_part_and_every_tweet_in_one():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(3, size=600), rng.integers(300, size=600)
    split = split_tweets(labels, groups)
    assert sorted(np.concatenate(list(split.values()))) == list(range(600))
    of_part = [set(groups[rows]) for rows in split.values()]
    assert (
        not of_part[0] & of_part[1] and not of_part[1] & of_part[2] and not of_part[0] & of_part[2]
    )
    assert all(np.array_equal(split[p], again) for p, again in split_tweets(labels, groups).items())


def test_cleaning_and_cutting():
    assert clean("Late Flightr &amp; Cancelled Flightled") == "later & cancelled"
    assert bare("RT @united: Thank you! http://t.co/a") == "thank you"
    words = normalised("@United SOOOO late... #NeverAgain! wasn't http://t.co/x $20 @me")
    assert (
        words
        == (
            "@united soo <elongated> <caps> late ... <hashtag> never again ! was n't <url> <money> <user>"
        ).split()
    )


def test_shares_follow_the_agreement():
    given = shares(np.array([0, 1, 2]), np.array([0.8, 0.3, np.nan]))
    assert given.sum(1).allclose(torch.ones(3))
    assert given.tolist() == [
        pytest.approx(row) for row in ([0.8, 0.1, 0.1], [0.25, 0.5, 0.25], [0, 0, 1])
    ]


def test_a_missing_file_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A1_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Tweets.csv .*kaggle.com.*make data"):
        read_tweets("Tweets.csv")
    frame = pd.DataFrame({"airline_sentiment": ["positive", None], "text": ["a\rb", "c"]})
    frame.to_csv(tmp_path / "Tweets.csv", index=False, quoting=1)
    assert find_file("Tweets.csv", "there") == tmp_path / "Tweets.csv"
    assert read_tweets("Tweets.csv")[["text", "label"]].to_numpy().tolist() == [["a\rb", 2]]


@pytest.mark.parametrize("votes", [None, [0.6, 1.0]])
def test_where_votes_are_not_told_labels_count_as_unanimous(votes, tmp_path, monkeypatch):
    monkeypatch.setenv("A1_DATA", str(tmp_path))
    table = {"airline_sentiment": ["positive", "neutral"], "text": ["a", "b"]}
    table |= {"airline_sentiment_confidence": votes} if votes else {}
    pd.DataFrame(table).to_csv(tmp_path / "Tweets.csv", index=False)
    assert read_tweets("Tweets.csv")["confidence"].tolist() == (votes or [1.0, 1.0])


@pytest.mark.parametrize("text", ["", "<html>\n<body>\n", "a\t" + "\t".join(["2.5"] * 100)])
def test_a_file_without_a_known_word_is_one_clear_error(text, tmp_path):
    path = tmp_path / "glove.6B.100d.txt"
    path.write_text(text)
    with pytest.raises(AssertionError, match="100d.txt has a vector for no word: is it GloVe's"):
        vectors_for(build_vocabulary([["a", "b"]], 1), path)


def test_vectors_come_from_the_file(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} {' '.join(['2.5'] * 100)}\n" for word in ("a", "<mask>", "x")))
    vocabulary = build_vocabulary([["a", "n't", "zzz"]], 1)
    vectors, found = vectors_for(vocabulary, path)
    assert dict(zip(vocabulary, found.tolist())) == dict.fromkeys(vocabulary, False) | {"a": True}
    assert vectors[vocabulary["a"]].eq(2.5).all() and vectors[PAD].eq(0).all()


def tweets():
    """Drawn data behind the interface of Tweets."""
    return Tweets({}, {}, {}, {}, "cpu").tiny()


def test_batches_are_of_like_length_and_end_with_their_longest():
    data, recipe = tweets(), TEXT | {"batch_size": 4}
    for epoch in (0, 1):
        batches = list(data.batches("train", recipe, epoch))
        assert len(batches) == data.steps(recipe) == 2
        lengths = sorted(((x != PAD).sum(1).tolist() for x, _ in batches), key=min)
        assert max(lengths[0]) <= min(lengths[1])
        for x, y in batches:
            assert x.shape[1] == (x != PAD).sum(1).max() and y.shape == (4, 3)
    whole = torch.cat([y for _, y in data.batches("val", recipe)])
    assert torch.equal(whole, data.y["val"])


def test_other_tweets_serve_the_first_epochs_of_training_alone():
    data, recipe = tweets(), TEXT | {"batch_size": 18, "other_epochs": 1}
    data.x["other"] = torch.where(data.x["other"] == PAD, PAD, 55)
    of_epoch = [any((x == 55).any() for x, _ in data.batches("train", recipe, e)) for e in (0, 1)]
    assert of_epoch == [True, False]


def test_without_other_tweets_training_draws_from_the_airline_tweets_alone():
    data, recipe = tweets(), TEXT | {"batch_size": 4, "other_epochs": 2}
    x = {part: words[: 0 if part == "other" else None] for part, words in data.x.items()}
    x["other"] = encode([], {}, x["train"].shape[1])
    targets = data.targets | {"other": shares(np.zeros(0, np.int64), np.zeros(0))}
    seen = Tweets(x, data.y, targets, {}, "cpu").batches("train", recipe, 0)
    assert sum(len(y) for _, y in seen) == 8
    assert encode([["a"], []], {"a": 3}, 2).tolist() == [[3, PAD], [UNKNOWN, PAD]]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "all"])
def test_a_changed_network_is_not_answered_with_the_old_record(name):
    data = tweets()
    made = [probe(partial(improved, **options), TEXT, data) for options in ({}, VARIANTS[name])]
    record = {"recipe": TEXT, "data": {}, "probe": made[0]}
    assert differs(record, record | {"probe": made[1]})
    assert not differs(record, record | {"probe": probe(improved, TEXT, data)})


def test_training_leaves_the_given_vectors_alone():
    vectors = torch.randn(WORDS, 20)
    model, before = AttentiveLSTM(vectors, hidden_size=6), vectors.clone()
    torch.optim.SGD(model.parameters(), 1.0).zero_grad()
    model(texts()).sum().backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= weight.grad
    assert torch.equal(vectors, before) and not torch.equal(model.embedding.weight, before)
