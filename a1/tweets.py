"""The airline tweets: read, cleaned, split without copies, cut into words, given in batches."""

import hashlib
import html
import re
from collections import Counter

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from nltk.tokenize import NLTKWordTokenizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from torch.nn.utils.rnn import pad_sequence

from a1.files import data_places
from a1.photos import PARTS, Classification
from a1.setup import DEVICE

SENTIMENTS = ("negative", "neutral", "positive")
KAGGLE = "https://www.kaggle.com/datasets/crowdflower/twitter-airline-sentiment"
GLOVE = "https://nlp.stanford.edu/data/glove.6B.zip"
REPLACED = {
    "Late Flight": "late",
    "Cancelled Flight": "cancel",
    "Flight Booking Problems": "booking",
}
AIRLINES = ("united", "usairways", "americanair", "southwestair", "jetblue", "virginamerica")
PAD, UNKNOWN, MASK = 0, 1, 2  # numbers of no word, of any rare word, of a word to be guessed


def find_file(name, source):
    """Path of a file in $A1_DATA, here, in data/, on Colab or Drive; else where to get it."""
    for place in data_places():
        path = place / name
        if path.exists():
            for note in path.parent.glob("STAND_IN.txt"):
                print(note.read_text())
            return path
    where = "here, in data/, $A1_DATA or /content"
    raise FileNotFoundError(
        f"no {name} {where}: put it beside this notebook ({source}), or `make data`"
    )


def read_tweets(name):
    """A table's text, label (index into SENTIMENTS), confidence, and airline where it has one;
    rows without text or sentiment are left out."""
    frame = pd.read_csv(find_file(name, KAGGLE))
    whole = frame.dropna(subset=["text", "airline_sentiment"]).reset_index(drop=True)
    print(f"{name}: {len(whole):,} tweets, {len(frame) - len(whole)} without text or sentiment")
    whole["label"] = whole["airline_sentiment"].map(SENTIMENTS.index)
    whole["confidence"] = whole.get("airline_sentiment_confidence", 1.0)  # no votes: unanimous
    return whole.reindex(columns=["text", "label", "confidence", "airline"])


def clean(text):
    """The tweet as it was written: words that complaint categories replaced, and HTML's escapes."""
    for complaint, word in REPLACED.items():
        text = text.replace(complaint, word)
    return html.unescape(text).strip()


QUOTED = re.compile(r"(?:\bRT\s+|[\"'\u201c\u2018])@\w+:?\s*(.+?)(?:[\"\u201d]|http|$)", re.DOTALL)


def bare(text):
    """What copies share: words and symbols, without handles, links, "RT", case and punctuation."""
    marks = "[\u00a0-\u00bf\u2000-\u206f\ufe0f\ufffd]"
    text = re.sub(r"https?://\S+|@\w+|\brt\b|" + marks, " ", text.lower())
    return " ".join(re.findall(r"\w+|[^\x00-\x7f]", text))


def group_copies(texts, likeness=0.5):
    """Number of each text's group of copies, int64 [N]: equal when `bare`, or quoting the same four
    words, or of six words and more and sharing half of all runs of three (Jaccard)."""
    words = [bare(text) for text in texts]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(words))}
    group = list(range(len(distinct)))

    def root(number):
        while group[number] != number:
            number = group[number]
        return number

    counter = CountVectorizer(ngram_range=(3, 3), binary=True, token_pattern=r"\S+")
    runs = counter.fit_transform(distinct)
    shared, sizes = (runs @ runs.T).tocoo(), np.asarray(runs.sum(1)).ravel()
    union = sizes[shared.row] + sizes[shared.col] - shared.data
    long = np.minimum(sizes[shared.row], sizes[shared.col]) >= 4
    alike = (shared.row < shared.col) & long & (shared.data >= likeness * union)
    for one, other in zip(shared.row[alike], shared.col[alike]):
        group[root(other)] = root(one)
    quoting = {}
    for text, quote in zip(words, map(QUOTED.search, texts)):
        quoted = bare(quote[1]) if quote else ""
        if quoted.count(" ") >= 3:
            group[root(distinct[text])] = root(quoting.setdefault(quoted, distinct[text]))
    return np.array([root(distinct[text]) for text in words])


def split_tweets(labels, groups, seed=0):
    """{part: sorted int64 rows}: 70/15/15, stratified; a group of copies goes to one part."""
    members = pd.Series(range(len(labels))).groupby(groups).agg(list)
    y = labels[[rows[0] for rows in members]]
    index = np.arange(len(members))
    train, rest = train_test_split(index, train_size=0.7, stratify=y, random_state=seed)
    val, test = train_test_split(rest, train_size=0.5, stratify=y[rest], random_state=seed)
    parts = zip(PARTS, (train, val, test))
    return {part: np.sort(np.concatenate(members.iloc[chosen].to_list())) for part, chosen in parts}


NLTK_WORD = NLTKWordTokenizer()


def nltk_words(text):
    """NLTK's word tokenizer (Penn Treebank style) on lower-case text."""
    return NLTK_WORD.tokenize(text.lower())


def basic_english(text):
    """What torchtext's retired get_tokenizer("basic_english") did."""
    text = re.sub(r"([.,()!?'])", r" \1 ", text.lower().replace('"', ""))
    return re.sub(r"[;:]", " ", text).split()


NORMALISED = [  # in this order: pattern, what takes its place
    (r"[\ufe0f\u200d\U0001f3fb-\U0001f3ff]", ""),  # variants of one emoji
    (r"[‘’`]", "'"),
    (r"[“”«»]", '"'),
    (r"https?://\S*|www\.\S+", " <url> "),
    (r"#(\w+)", lambda found: " <hashtag> " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", found[1])),
    (r"(?<!\w)(?:[:;=]['^o-]?[)\]DPp]|\(:|<3)(?!\w)", " <smile> "),
    (r"(?<!\w)[:;=]['^o-]?[(\[/|](?!\w)", " <frown> "),
    (r"[$£€]\s?\d[\d,.]*", " <money> "),
    (r"(?<!\w)(?:\d{1,2}(?::\d\d)?\s?[ap]\.?m\b|\d{1,2}:\d\d\b)", " <time> "),
    (r"\b[A-Za-z]{2}\d{2,4}\b", " <flight> "),
    (r"\d[\d,.]*\d|\d", " <number> "),
    (r"\b[A-Z]{4,}\b(?!')", r"\g<0> <caps> "),  # airports have three letters
    (r"([A-Za-z])\1{2,}(\w*)", r"\1\1\2 <elongated> "),
    (r"([!?])(?:\s*[!?])+", r" \1 <repeat> "),
    (r"…|\.(?:\s?\.)+", " ... "),
    (r"(?i)(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b", r" \1 "),  # cut as GloVe's texts were
]
TOKEN = re.compile(r"<\w+>|@\w+|n't\b|'(?:s|re|ve|ll|d|m)\b|[^\W_]+(?:-[^\W_]+)*|\.\.\.|[^\w\s]")


def normalised(text):
    """Words, after links, strangers' handles, amounts and the like have got one name each."""

    def name(handle):
        return f" {handle[0].lower()} " if handle[1].lower() in AIRLINES else " <user> "

    text = re.sub(r"@(\w+)", name, text)
    for pattern, replacement in NORMALISED:
        text = re.sub(pattern, replacement, text)
    return TOKEN.findall(text.lower())


TOKENIZERS = {"nltk": nltk_words, "basic english": basic_english, "normalised": normalised}


def build_vocabulary(texts, min_count=2, known=frozenset()):
    """{word: number}, frequent ones first, of words that are `known` or occur `min_count` times."""
    counts = Counter(word for words in texts for word in words)
    words = (word for word in counts if counts[word] >= min_count or word in known)
    ordered = sorted(words, key=lambda word: (-counts[word], word))
    special = {"<pad>": PAD, "<unknown>": UNKNOWN, "<mask>": MASK}
    return special | {word: number for number, word in enumerate(ordered, len(special))}


def encode(texts, vocabulary, max_length):
    """Word numbers, int64 [N, max_length], PAD behind each text; what is longer is cut."""
    most = torch.full((max_length,), PAD)  # the longest, then dropped
    rows = [[vocabulary.get(w, UNKNOWN) for w in text[:max_length]] or [UNKNOWN] for text in texts]
    return pad_sequence([*map(torch.tensor, rows), most], batch_first=True, padding_value=PAD)[:-1]


def shares(labels, confidence):
    """Shares of the classes, float32 [N, 3]: the annotators' agreement, at least a half, for the
    label, the rest for the others. Where it is not known (NaN) it counts as full."""
    sure = torch.tensor(confidence).nan_to_num(1.0).clamp(min=0.5).float()
    rest = ((1 - sure) / 2).unsqueeze(1).repeat(1, 3)
    return rest.scatter(1, torch.tensor(labels).unsqueeze(1), sure.unsqueeze(1))


class SoftTargets(Classification):
    """Classification whose training targets may be shares [B, K]; what is said is kept, too."""

    def measures(self, logits, y):
        return super().measures(logits, y.argmax(1) if y.ndim == 2 else y)

    def keep(self, logits):
        return super().keep(logits) | {"test_said": logits.argmax(1)}  # 16 bits make ties


class Tweets(SoftTargets):
    """Tweets of each part on one device, and the batches made of them.

    x {part: int64 [N, T]}, y {part: int64 [N]}, a study's without test; targets {"train": float32
    [N, 3]}, and of "other" tweets, which the first recipe["other_epochs"] epochs draw from, too.
    """

    def __init__(self, x, y, targets, about, device=DEVICE):
        self.x = {part: words.to(device) for part, words in x.items()}
        self.y = {part: labels.to(device) for part, labels in y.items()}
        self.targets = {part: share.to(device) for part, share in targets.items()}
        self.lengths = {part: (words != PAD).sum(1) for part, words in x.items()}  # on the CPU
        parts = (tensor.numpy().tobytes() for tensor in (*x.values(), *y.values()))
        self.id = {"tweets": hashlib.sha256(b"|".join(parts)).hexdigest()} | about

    def steps(self, recipe):
        return max(1, len(self.y["train"]) // recipe["batch_size"])

    def batches(self, part, recipe, epoch=None):
        """x int64 [B, T], T its longest text; y int64 [B], or in training shares [B, 3]. A training
        batch holds texts of like length: an epoch's are sorted, and its batches shuffled."""
        x, y, lengths = self.x[part], self.y[part], self.lengths[part]
        chosen = torch.arange(len(y)).split(recipe["batch_size"])
        if epoch is not None:
            used = ("train", "other") if epoch < recipe["other_epochs"] else ("train",)
            x, y = (torch.cat([table[part] for part in used]) for table in (self.x, self.targets))
            lengths = torch.cat([self.lengths[part] for part in used])
            steps, size = self.steps(recipe), min(recipe["batch_size"], len(self.y["train"]))
            order = torch.randperm(len(y), device=x.device).cpu()[: steps * size]
            chosen = order[lengths[order].argsort(stable=True)].split(size)
            chosen = [chosen[k] for k in torch.randperm(steps, device=x.device).tolist()]
        sent = torch.cat([*chosen]).to(x.device).split([len(index) for index in chosen])
        for rows, index in zip(sent, chosen):
            yield x[rows, : lengths[index].max()], y[rows]

    def tiny(self):
        draw = torch.Generator().manual_seed(0)
        x = torch.randint(MASK + 1, 30, (28, 12), generator=draw)
        x[torch.arange(12) >= torch.randint(1, 13, (28, 1), generator=draw)] = PAD
        x = {"train": x[:10], "val": x[10:18], "other": x[18:]}
        y = {part: torch.arange(len(x[part])) % 3 for part in ("train", "val")}
        drawn = {part: torch.rand(len(x[part]), 3, generator=draw) for part in ("train", "other")}
        return Tweets(x, y, {p: F.normalize(share, 1, 1) for p, share in drawn.items()}, {}, "cpu")


def vectors_for(vocabulary, path, seed=0):
    """Start of an embedding, float32 [V, 100], from GloVe's file, and which words it has, bool [V].
    Those that it lacks start at random, on the same scale."""
    matrix, found = np.zeros((len(vocabulary), 100), np.float32), np.zeros(len(vocabulary), bool)
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, _, values = line.partition(" ")
            if vocabulary.get(word, 0) > MASK:
                matrix[vocabulary[word]], found[vocabulary[word]] = values.split(), True
    assert found.any(), f"{path} has a vector for no word: is it GloVe's text file, whole?"
    scale = matrix[found].mean(), matrix[found].std()
    matrix[~found] = np.random.default_rng(seed).normal(*scale, (len(found) - found.sum(), 100))
    matrix[PAD] = 0
    return torch.from_numpy(matrix), found
