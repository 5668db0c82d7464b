"""Text for recurrent networks: tokens, vocabulary, batches, word vectors; linear models; attention drawn."""

import hashlib
import io
import json
import os
import re
import time
import unicodedata
import urllib.request
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.svm import LinearSVC
from torch.nn.utils.rnn import pad_sequence

from a1.data.images import PARTS, ZIP_ERRORS, DataError, data_folders
from a1.data.tweets import AIRLINES
from a1.files import atomic_write
from a1.runs import fit_or_load
from a1.setup import PROFILE
from a1.train import Classification, Recipe

PAD, UNKNOWN = 0, 1  # word numbers; PAD fills batches up and is no word


NLTK_WORD = NLTKWordTokenizer()
NLTK_TWEET = TweetTokenizer(preserve_case=False, reduce_len=True)


def nltk_words(text):
    """NLTK's word tokenizer (Penn Treebank style) on lower-case text."""
    return NLTK_WORD.tokenize(text.lower())


def nltk_tweet(text):
    """NLTK's TweetTokenizer, which knows handles, hashtags and emoticons; lower case, "sooooo" as "sooo"."""
    return NLTK_TWEET.tokenize(text)


def basic_english(text):
    """What torchtext's retired get_tokenizer("basic_english") did: lower case, some punctuation dropped."""
    text = re.sub(r"([.,()!?'])", r" \1 ", text.lower().replace('"', ""))
    return re.sub(r"[;:]", " ", text).split()


def cut_hashtag(match):
    """#NeverAgain as a mark and its words."""
    return " <hashtag> " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", match[1])


def mark_elongated(match):
    """Soooo as soo and a mark."""
    return re.sub(r"([A-Za-z])\1{2,}", r"\1\1", match[0]) + " <elongated> "


MARKS = ("<caps>", "<elongated>")  # of how a word was written
NORMALISED = [  # in this order: pattern, what takes its place
    (r"[\ufe0f\u200d\U0001f3fb-\U0001f3ff]", ""),  # variants of one emoji
    (r"[‘’`]", "'"),
    (r"[“”«»]", '"'),
    (r"https?://\S*|www\.\S+", " <url> "),
    (r"#(\w+)", cut_hashtag),
    (r"(?<!\w)(?:[:;=]['^o-]?[)\]DPp]|\(:|<3)(?!\w)", " <smile> "),
    (r"(?<!\w)[:;=]['^o-]?[(\[/|](?!\w)", " <frown> "),
    (r"[$£€]\s?\d[\d,.]*", " <money> "),
    (r"(?<!\w)(?:\d{1,2}(?::\d\d)?\s?[ap]\.?m\b|\d{1,2}:\d\d\b)", " <time> "),
    (r"\b[A-Za-z]{2}\d{2,4}\b", " <flight> "),
    (r"\d[\d,.]*\d|\d", " <number> "),
    (r"\b[A-Z]{4,}\b(?!')", r"\g<0> <caps> "),  # airports have three letters
    (r"\b\w*?([A-Za-z])\1{2,}\w*", mark_elongated),
    (r"([!?])(?:\s*[!?])+", r" \1 <repeat> "),
    (r"…|\.(?:\s?\.)+", " ... "),
    (r"(?i)(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b", r" \1 "),  # cut as in the texts that GloVe learned from
]
TOKEN = re.compile(r"<\w+>|@\w+|n't\b|'(?:s|re|ve|ll|d|m)\b|[^\W_]+(?:-[^\W_]+)*|\.\.\.|[^\w\s]")


def normalise(text):
    """Lower-case text in which links, strangers, amounts and the like have one name; airlines keep theirs.

    After the preprocessing of GloVe's tweets (nlp.stanford.edu/projects/glove/preprocess-twitter.rb).
    """

    def name(handle):
        return f" {handle[0].lower()} " if handle[1].lower() in AIRLINES else " <user> "

    text = re.sub(r"@(\w+)", name, text)
    for pattern, replacement in NORMALISED:
        text = re.sub(pattern, replacement, text)
    return text.lower()


def normalised(text):
    """Tokens of the normalised text."""
    return TOKEN.findall(normalise(text))


def unmarked(text):
    """The same without the marks for capitals and elongation."""
    return [token for token in normalised(text) if token not in MARKS]


TOKENIZERS = {
    "nltk word": nltk_words,
    "nltk tweet": nltk_tweet,
    "basic english": basic_english,
    "unmarked": unmarked,
    "normalised": normalised,
}


@dataclass
class Tokens:
    """A TweetSet cut into words."""

    tokenizer: str
    tweets: list  # a list of str for every airline tweet
    others: list  # the same for every other tweet
    seconds: float  # that the airline tweets took


def tokenise(tweets, tokenizer, passes=3):
    """Tokens of a TweetSet, by one of TOKENIZERS; a text without any gives one unknown word later.

    The airline tweets are cut `passes` times, and the median of the seconds is kept.
    """
    cut, seconds = TOKENIZERS[tokenizer], []
    for _ in range(passes):
        started = time.perf_counter()
        cut_tweets = [cut(text) for text in tweets.frame["text"]]
        seconds.append(time.perf_counter() - started)
    cut_others = [cut(text) for text in tweets.others["text"]]
    return Tokens(tokenizer, cut_tweets, cut_others, float(np.median(seconds)))


def build_vocabulary(token_lists, min_count=2, known=frozenset()):
    """{word: number} of all words that occur `min_count` times or are `known`; from 2 on, by frequency."""
    counts = Counter(token for tokens in token_lists for token in tokens)
    words = sorted(
        (word for word in counts if counts[word] >= min_count or word in known),
        key=lambda word: (-counts[word], word),
    )
    return {"<pad>": PAD, "<unknown>": UNKNOWN} | {word: number for number, word in enumerate(words, 2)}


def encode(tokens, vocabulary, max_length):
    """Numbers of the first `max_length` tokens, int64 [T], T >= 1."""
    numbers = [vocabulary.get(token, UNKNOWN) for token in tokens[:max_length]]
    return torch.tensor(numbers or [UNKNOWN])


def unknown_rate(token_lists, vocabulary):
    """Share of all tokens that the vocabulary lacks."""
    tokens = [token for tokens in token_lists for token in tokens]
    return sum(token not in vocabulary for token in tokens) / max(len(tokens), 1)


class TextClassification(Classification):
    """Classification that may weigh classes, and be trained on shares of the classes [B, K] for targets."""

    @staticmethod
    def loss(outputs, y, recipe):
        weights = torch.tensor(recipe.class_weights, device=outputs.device) if recipe.class_weights else None
        return F.cross_entropy(outputs, y, weights, label_smoothing=recipe.label_smoothing)

    @staticmethod
    def sums(outputs, y):
        """Over a batch, against the largest share: to compare with validation, whose targets are indices."""
        return Classification.sums(outputs, y.argmax(1) if y.ndim == 2 else y)


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """The decisions about training a text classifier."""

    objective: ClassVar = TextClassification
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 2e-3
    weight_decay: float = 1e-2
    clip_norm: float | None = 1.0
    amp: bool = False  # the matrices are small: nothing gained
    class_weights: tuple = ()  # one a class; () for equal ones
    soft_labels: bool = False  # train on the annotators' agreement instead of their majority
    bucketed: bool = True  # training batches of tweets of like length
    pad_to: int = 0  # every batch at least this long: to measure what padding costs
    other_epochs: int = 0  # the first epochs draw from the tweets about other things, too


def soft_targets(labels, confidence, classes=3):
    """Shares of the classes, float32 [N, classes]: the confidence for the label, the rest for the others.

    labels: int64 [N]; confidence: float [N], the annotators' agreement on it. Where it is unknown (NaN) it
    counts as the mean of the others, and nowhere less than a half: no other class shall seem likelier.
    """
    mean = confidence.nanmean().nan_to_num(1.0)  # 1 where none is known
    sure = torch.where(confidence.isnan(), mean, confidence).clamp(min=0.5).float()
    rest = ((1 - sure) / (classes - 1)).unsqueeze(1).repeat(1, classes)
    return rest.scatter(1, labels.unsqueeze(1), sure.unsqueeze(1))


class TextLoader:
    """Batches of texts: x, word numbers, int64 [B, T], PAD behind each text; y, int64 [B], or shares [B, K].

    T is the longest text's length, or `pad_to`. A training loader shuffles, drops an incomplete last batch,
    and where `bucketed` puts texts of like length together: it sorts each stretch of 50 batches of the
    shuffled texts and shuffles the batches. `count` texts make an epoch, all by default.
    """

    def __init__(self, sequences, labels, batch_size, train=False, bucketed=False, pad_to=0, count=None):
        self.sequences, self.labels, self.batch_size = sequences, labels, batch_size
        self.train, self.bucketed, self.pad_to = train, bucketed, pad_to
        self.count = count or len(sequences)

    def __len__(self):
        whole, rest = divmod(self.count, self.batch_size)
        return whole + bool(rest and not (self.train and whole))

    def batches(self):
        """Row numbers of every batch, int64 [B]."""
        if not self.train:
            return torch.arange(self.count).split(self.batch_size)
        order = torch.randperm(len(self.sequences))[: min(self.count, len(self) * self.batch_size)]
        if self.bucketed:
            lengths = torch.tensor([len(sequence) for sequence in self.sequences])
            stretches = order.split(50 * self.batch_size)
            order = torch.cat([stretch[lengths[stretch].argsort()] for stretch in stretches])
        batches = order.split(self.batch_size)
        return [batches[number] for number in torch.randperm(len(batches))]

    def __iter__(self):
        for rows in self.batches():
            x = pad_sequence([self.sequences[row] for row in rows], batch_first=True, padding_value=PAD)
            if x.shape[1] < self.pad_to:
                x = F.pad(x, (0, self.pad_to - x.shape[1]), value=PAD)
            yield x.to(self.labels.device), self.labels[rows.to(self.labels.device)]


class TweetSplits:
    """A TweetSet cut into words and numbers, by part: what a training run is given.

    rows: {part: row numbers, int64}; without a test part among `parts` the runs are studies. The vocabulary
    is that of the training part and, where they are used, of the other tweets, which only ever serve
    training; of the training part also words seen once that are among `known`. `vectors`, from `glove`
    (see read_glove), are where the embedding starts, or None. `fingerprint` changes with any word number,
    label or row; `about` is what a run's record says, with a hash of the vectors.
    """

    def __init__(
        self,
        tweets,
        tokens,
        rows,
        parts=PARTS,
        max_length=40,
        min_count=2,
        use_others=False,
        known=frozenset(),
        glove=None,
        device="cpu",
    ):
        others = tokens.others if use_others else []
        self.rows = {part: rows[part] for part in parts}
        cut = {part: [tokens.tweets[row] for row in chosen] for part, chosen in self.rows.items()}
        known = known & {word for words in cut["train"] for word in words}
        self.vocabulary = build_vocabulary(cut["train"] + others, min_count, known)
        self.vectors = vectors_for(self.vocabulary, glove)[0] if glove else None
        self.sequences = {
            part: [encode(words, self.vocabulary, max_length) for words in texts]
            for part, texts in cut.items()
        }
        self.pool = self.sequences["train"] + [encode(words, self.vocabulary, max_length) for words in others]
        frames = {part: tweets.frame.iloc[chosen] for part, chosen in self.rows.items()}
        self.labels = {
            part: torch.tensor(frame["label"].to_numpy(), device=device) for part, frame in frames.items()
        }
        pool = pd.concat([frames["train"], tweets.others[: len(others)]])
        self.pool_labels = torch.tensor(pool["label"].to_numpy(), device=device)
        confidence = torch.tensor(pool["confidence"].to_numpy(), device=device)
        self.pool_shares = soft_targets(self.pool_labels, confidence)
        digest = hashlib.sha256(json.dumps(list(self.vocabulary)).encode())
        for sequences in (self.pool, *self.sequences.values()):
            digest.update(b"".join(sequence.numpy().tobytes() + b"|" for sequence in sequences))
        for targets in (self.pool_shares, *self.labels.values()):
            digest.update(targets.cpu().numpy().tobytes())
        self.fingerprint = digest.hexdigest()
        self.about = {
            "source": tweets.source,
            "files": tweets.fingerprint,
            "tokenizer": tokens.tokenizer,
            "vocabulary": len(self.vocabulary),
            "max_length": max_length,
            "others": len(others),
            "known": len(known),
            "vectors": hashlib.sha256(self.vectors.numpy().tobytes()).hexdigest()[:16] if glove else "none",
            "sizes": {part: len(chosen) for part, chosen in self.rows.items()},
        }

    def loader(self, part, recipe, train=False, epoch=0):
        """Batches of `part`; for training as the recipe says for `epoch`, always as many tweets."""
        if not train:
            return TextLoader(
                self.sequences[part], self.labels[part], recipe.batch_size, pad_to=recipe.pad_to
            )
        count = len(self.sequences["train"])
        usable = len(self.pool) if epoch < recipe.other_epochs else count  # the training part stands first
        targets = self.pool_shares if recipe.soft_labels else self.pool_labels
        return TextLoader(
            self.pool[:usable],
            targets[:usable],
            recipe.batch_size,
            True,
            recipe.bucketed,
            recipe.pad_to,
            count,
        )


GLOVE_URL = "https://nlp.stanford.edu/data/glove.6B.zip"
GLOVE_TABLE = "glove.6B.100d"
GLOVE_ADVICE = f"Download {GLOVE_URL} again and put it into data/."


def find_glove():
    """Path of GloVe's 100-dimensional vectors in the data folders, as text or in a zip; or None."""
    for folder in data_folders():
        for pattern in (f"{GLOVE_TABLE}*.txt", f"{GLOVE_TABLE}*.zip", "glove.6B*.zip"):
            found = sorted(folder.glob(pattern))
            if found:
                return found[0]
    return None


def fetch_glove(folder="data"):
    """Path of GloVe's zip, downloaded, a line every 50 MB; None where it cannot be reached."""
    path = Path(folder) / "glove.6B.zip"
    print(f"fetching GloVe's vectors, 862 MB: {GLOVE_URL}", flush=True)
    try:
        with urllib.request.urlopen(GLOVE_URL, timeout=20) as response, atomic_write(path) as file:
            done = 0
            while block := response.read(50_000_000):
                file.write(block)
                done += len(block)
                print(f"  {done / 1e6:.0f} MB", flush=True)
        return path
    except OSError as error:
        print(f"  not to be had there ({type(error).__name__})", flush=True)
        return None


def load_glove():
    """Path of the vectors, found, or in the full profile fetched unless A1_OFFLINE=1; or None."""
    source = find_glove()
    if source is None and PROFILE == "full" and not os.environ.get("A1_OFFLINE"):
        source = fetch_glove()
    return source


# For vectors that lack contractions, single letters and handles.
SYNONYMS = {
    "n't": "not", "'s": "is", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would",
    "...": "…", "i": "me", "a": "an", "u": "you",
    "@americanair": "american", "@southwestair": "southwest", "@virginamerica": "virgin",
}  # fmt: skip


def names_of(word):
    """Words whose vectors may stand for a word's, best first: itself, a synonym, parts, an emoji's name."""
    yield [word]
    yield [SYNONYMS.get(word, word)]
    yield [word.strip("@#<>")]
    yield [part for part in word.split("-") if part]
    yield [re.sub(r"([a-z])\1", r"\1", word)]
    if not word.isascii():
        yield unicodedata.name(word[0], "").lower().split()


def open_glove(source):
    """The lines of the vectors' file, as a stream of bytes; DataError where it is damaged."""
    try:
        if source.suffix != ".zip":
            return io.BytesIO(source.read_bytes())
        with zipfile.ZipFile(source) as archive:
            members = [name for name in archive.namelist() if Path(name).name.startswith(GLOVE_TABLE)]
            if not members:
                raise DataError(f"{source} holds no {GLOVE_TABLE}.txt. {GLOVE_ADVICE}")
            return io.BytesIO(archive.read(members[0]))
    except ZIP_ERRORS as error:
        raise DataError(f"{source} is damaged or incomplete ({error}). {GLOVE_ADVICE}") from None


def common_words(source, count=40_000):
    """The words whose vectors come first, those most frequent in GloVe's texts: the same in any printing."""
    return frozenset(line.split(b" ", 1)[0].decode() for line in islice(open_glove(source), count))


def read_glove(source, words):
    """{word: float32 [100]} of those of `words`, and of the words they may be found under, that the file has.

    Raises DataError where the file is damaged or holds other vectors.
    """
    wanted = {name for word in words for names in names_of(word) for name in names}
    vectors = {}
    for line in open_glove(source):
        word, _, values = line.decode().partition(" ")
        if word in wanted:
            vectors[word] = np.array(values.split(), np.float32)
    if {len(vector) for vector in vectors.values()} != {100}:
        raise DataError(f"{source} does not hold vectors of 100 numbers. {GLOVE_ADVICE}")
    return vectors


def vectors_for(vocabulary, glove, seed=0):
    """Start of an embedding, float32 [V, 100], and where each row comes from: "own", "related" or "random".

    A word that GloVe lacks gets the mean of the words it may be found under, or else a random vector of the
    scale of those that were found.
    """
    matrix, origins = np.zeros((len(vocabulary), 100), np.float32), []
    for word, number in vocabulary.items():
        found = [[glove[name] for name in names if name in glove] for names in names_of(word)]
        rows = next((rows for rows in found if rows and number > UNKNOWN), [])
        if rows:
            matrix[number] = np.mean(rows, 0)
        origins.append("random" if not rows else "own" if found[0] else "related")
    drawn = np.array(origins) == "random"
    scale = (matrix[~drawn].mean(), matrix[~drawn].std()) if not drawn.all() else (0, 0.4)
    matrix[drawn] = np.random.default_rng(seed).normal(*scale, (drawn.sum(), 100))
    matrix[PAD] = 0
    return torch.from_numpy(matrix), origins


def run_tries(name, tries):
    """Train every try and return a DataFrame, one row a run, in their order.

    tries: {(variant, seed): (make_model, recipe, splits)}, splits without a test part. Measures are those of
    the epoch with the best validation accuracy; `seconds` is the whole training.
    """
    rows = []
    for (variant, seed), (make_model, recipe, splits) in tries.items():
        run = fit_or_load(f"studies/{name}", make_model, recipe, splits, verbose=False)
        measures = ("train_acc", "val_acc", "val_macro_f1", "val_loss")
        rows.append({
            "variant": variant, "seed": seed, "run": run, "parameters": run.record["parameters"],
            **{measure: run.metrics[measure] for measure in measures}, "best_epoch": run.record["best_epoch"],
            "seconds": sum(epoch["seconds"] for epoch in run.history),
        })  # fmt: skip
    return pd.DataFrame(rows)


def log_odds(texts, labels, classes, ngrams=(1, 2), min_count=15, prior=500.0):
    """How strongly n-grams lean to a class: log-odds in standard deviations, a DataFrame, n-grams by classes.

    texts: lists of words; each class against all others, with a Dirichlet prior of `prior` words that follows
    the whole corpus. Source: Monroe, Colaresi, Quinn, Fightin' Words, Political Analysis 16, 2008, equations
    15 to 22.
    """
    counter = CountVectorizer(ngram_range=ngrams, token_pattern=r"\S+", lowercase=False, min_df=min_count)
    counts = counter.fit_transform(" ".join(words) for words in texts)
    everywhere = np.asarray(counts.sum(0)).ravel()
    expected = prior * everywhere / everywhere.sum()
    scores = {}
    for label, name in enumerate(classes):
        here = np.asarray(counts[np.asarray(labels) == label].sum(0)).ravel()
        a, b = here + expected, everywhere - here + expected
        gap = np.log(a / (a.sum() - a)) - np.log(b / (b.sum() - b))
        scores[name] = gap / np.sqrt(1 / a + 1 / b)
    return pd.DataFrame(scores, index=counter.get_feature_names_out())


LINEAR = {
    "lr": lambda strength, balance: LogisticRegression(C=strength, class_weight=balance, max_iter=500),
    "svm": lambda strength, balance: LinearSVC(C=strength, class_weight=balance, max_iter=10_000),
}


def fit_linear(kind, texts, labels, strengths, shares=(0.0, 0.3)):
    """TF-IDF of words and pairs with a linear model, the best of all tries on validation: (result, arrays).

    texts: {form: {part: list of str}}, labels: {part: int [N]}, parts train, val, test and others. Tried are
    all combinations of the form of the texts, the inverse regularisation, balanced classes, and `shares`: the
    weight of a tweet about other things beside an airline tweet's 1, which leaves them out where it is 0.
    The result has {val,test}_{acc,macro_f1}, for "lr" also losses and each class's n-grams of highest weight;
    the arrays are predictions, and for "lr" probabilities.
    """
    tries, fitted = [], []
    for (form, of_part), share in product(texts.items(), shares):
        used = ("train", "others") if share else ("train",)
        y = np.concatenate([labels[part] for part in used])
        weights = np.concatenate([np.full(len(labels[p]), w) for p, w in zip(used, (1.0, share))])
        tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\S+")
        X = {"train": tfidf.fit_transform([text for part in used for text in of_part[part]])}
        X |= {part: tfidf.transform(of_part[part]) for part in ("val", "test")}
        for strength, balance in product(strengths, (None, "balanced")):
            started = time.perf_counter()
            model = LINEAR[kind](strength, balance).fit(X["train"], y, sample_weight=weights)
            seconds = time.perf_counter() - started
            predicted = model.predict(X["val"])
            tries.append({
                "texts": form, "C": strength, "balanced": bool(balance), "others": share,
                "seconds": seconds, "val_acc": float((predicted == labels["val"]).mean()),
                "val_macro_f1": f1_of(labels["val"], predicted),
            })  # fmt: skip
            fitted.append((model, X, tfidf.get_feature_names_out()))
    chosen = max(range(len(tries)), key=lambda number: tries[number]["val_acc"])
    model, X, names = fitted[chosen]
    result, arrays = {"tries": tries, "chosen": tries[chosen], "features": len(names)}, {}
    for part in ("val", "test"):
        arrays[f"{part}_predicted"] = predicted = model.predict(X[part])
        result[f"{part}_acc"] = float((predicted == labels[part]).mean())
        result[f"{part}_macro_f1"] = f1_of(labels[part], predicted)
        if kind == "lr":
            arrays[f"{part}_probs"] = probs = model.predict_proba(X[part])
            result[f"{part}_loss"] = float(log_loss(labels[part], probs))
    if kind == "lr":
        result["top"] = [names[row.argsort()[:-13:-1]].tolist() for row in model.coef_]
    return result, arrays


def f1_of(y, predicted):
    """Macro-F1."""
    return float(f1_score(y, predicted, average="macro", zero_division=0))


def shift_for_f1(probs, y, reach=1.0, steps=21):
    """What to add to each class's log-probability for the highest macro-F1: float [classes], the first 0.

    probs: [N, 3]; y: int [N]. The same as another prior of the classes; a grid of `steps` within `reach`.
    """
    logs = np.log(np.asarray(probs, float) + 1e-9)
    grid = np.linspace(-reach, reach, steps)
    shifts = sorted(
        product((0.0,), grid, grid), key=lambda shift: sum(map(abs, shift))
    )  # of equals the least
    return np.array(max(shifts, key=lambda shift: f1_of(y, (logs + shift).argmax(1))))


def f1_gap_interval(y, one, other, classes=3, repeats=2000, seed=0):
    """Macro-F1 of one classifier less another's on the same texts, with a 95% interval: (gap, low, high).

    y, one, other: int [N], the truth and two predictions. A bootstrap: texts are drawn with replacement, the
    same for both.
    """
    cells = [torch.as_tensor(np.asarray(y) * classes + np.asarray(predicted)) for predicted in (one, other)]
    draws = np.random.default_rng(seed).integers(0, len(y), (repeats, len(y)))
    draws = torch.as_tensor(np.concatenate([np.arange(len(y))[None], draws]))  # as they are come first

    def macro_f1(cell):
        counts = torch.stack([torch.bincount(cell[rows], minlength=classes**2) for rows in draws]).double()
        counts = counts.reshape(-1, classes, classes)
        right = counts.diagonal(dim1=1, dim2=2)
        return (2 * right / (counts.sum(1) + counts.sum(2)).clamp(min=1)).mean(1)

    gaps = (macro_f1(cells[0]) - macro_f1(cells[1])).numpy()
    low, high = np.quantile(gaps[1:], [0.025, 0.975])
    return float(gaps[0]), float(low), float(high)


def drawable(word):
    """The word as any font can draw it: symbols by their names."""
    return "".join(char if ord(char) < 0x250 else f"[{unicodedata.name(char, '?').lower()}]" for char in word)


def plot_attention(rows, columns=105):
    """Texts with every word shaded by its attention weight, a text after the other.

    rows: [(title, words, weights)]; weights: [T], sum 1. Black is the text's highest weight, white is 0.
    """
    lines, height = [], 0.0
    for title, words, weights in rows:
        lines.append((0, height, title, None))
        position, height = 0, height + 1.1
        for word, weight in zip(map(drawable, words), weights):
            if position and position + len(word) > columns:
                position, height = 0, height + 1.1
            lines.append((position, height, word, float(weight / max(weights))))
            position += len(word) + 1
        height += 1.7
    fig, ax = plt.subplots(figsize=(10, 0.19 * height))
    for x, y, text, shade in lines:
        color = "#0072B2" if shade is None else "white" if shade > 0.55 else "black"
        box = None if shade is None else {"facecolor": str(1 - shade), "edgecolor": "none", "pad": 1}
        ax.text(
            x, -y, text, family="monospace", fontsize=8, color=color, bbox=box, va="center", parse_math=False
        )
    ax.set(xlim=(0, columns), ylim=(-height, 1))
    ax.set_axis_off()
    return fig, ax
