"""Every data set but the tweets, brought into its standard layout and mended on the way.

Each `lay_out_*(files, folder)` reads a fetch.Files and writes into the empty `folder`. It returns
the path of what it wrote and remarks, sentences on what was mended. NotHere says that the source
holds nothing of the kind, DataError that it holds something unusable.
"""

import calendar
import io
import re
import time
from collections import defaultdict
from functools import cache
from pathlib import PurePosixPath

from PIL import Image

from tools.fetch import READ_ERRORS, DataError, progress
from tools.stand_in import NETWORKS, POWER_COLUMNS, build_network

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
CLASSES = ("dogs", "food", "vehicles")
FOOD11 = (
    *("Bread", "Dairy product", "Dessert", "Egg", "Fried food", "Meat", "Noodles-Pasta"),
    *("Rice", "Seafood", "Soup", "Vegetable-Fruit"),
)
FOOD_NAME = re.compile(r"food[-_ ]?1(1|01)", re.IGNORECASE)  # not "food", a class of the photos
PARTS = {"training": 0, "train": 0, "validation": 1, "valid": 1, "val": 1}
PARTS |= {"evaluation": 2, "testing": 2, "test": 2}


def natural(path):
    """Key that sorts 2.jpg before 10.jpg."""
    return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", path)], path


def is_jpeg(path):
    """Whether a name says JPEG."""
    return PurePosixPath(path).suffix.lower() in (".jpg", ".jpeg")


def mend_photo(data, size=None):
    """Bytes of an RGB JPEG, size x size where `size` is given, and whether they had to be made.

    A good file is returned as it is. Another size is cropped to the central square and resized.
    None for bytes that are no whole image.
    """
    try:
        image = Image.open(io.BytesIO(data))
        good = image.format == "JPEG" and image.mode == "RGB"
        good = good and (size is None or image.size == (size, size))
        if good and size is None:
            image.draft("RGB", (1, 1))  # reads the whole file, computes an eighth of the pixels
        image.load()
        if good:
            return data, False
        image = image.convert("RGB")
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError ... on bad bytes
        return None, False
    if size:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.LANCZOS, box=box)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue(), True


def copy_photos(files, chosen, size=None):
    """Write photos as .jpg into the folders that `chosen`, {path inside: folder}, names: remarks.

    DataError where two photos would have one name, or more than one in a hundred are damaged.
    """
    written, remarks, say = {}, defaultdict(list), progress()
    in_order = sorted(sorted(chosen, key=natural), key=is_jpeg, reverse=True)
    for number, name in enumerate(in_order, 1):
        path = PurePosixPath(name)
        suffix, target = path.suffix.lower(), chosen[name] / f"{path.stem}.jpg"
        if suffix not in PHOTO_SUFFIXES:
            remarks["is not a photo, passed over"].append(name)
            continue
        if target in written and not is_jpeg(name):
            target = target.with_name(f"{path.stem}_{suffix[1:]}.jpg")
        if target in written:
            twice = f"{target.parent.name}/{target.name} twice, as {written[target]} and as {name}"
            raise DataError(f"{files.path} holds {twice}: keep one of them.")
        try:
            with files.open(name) as stream:
                data, made = mend_photo(stream.read(), size)
        except READ_ERRORS:
            data = None
        if data is None:
            remarks["cannot be read, left out"].append(name)
            continue
        if made:
            remarks[f"converted to RGB{f' and {size}x{size}' * bool(size)}"].append(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        written[target] = name
        say(f"{number:,} of {len(chosen):,} photos")
    damaged = remarks.get("cannot be read, left out", [])
    if len(damaged) > max(10, len(chosen) // 100):
        many = f"{len(damaged):,} of {len(chosen):,} photos cannot be read, {damaged[0]} first"
        raise DataError(f"{files.path}: {many}: download it again.")
    return [
        f"{len(names):,} x {what}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}"
        for what, names in remarks.items()
    ]


def counted(number, what, whole):
    """A remark that says how many there are, and if another number is usual: a file may be cut."""
    return f"{number:,} {what}" + f", where the whole set has {whole:,}" * (number != whole)


def folders_of(files):
    """The folders in which files lie, and the files that lie in none."""
    return {name.rpartition("/")[0] or name for name in files.names}


def lay_out_photos(files, folder):
    """cnn_dataset/{dogs,food,vehicles}/*.jpg, 64x64."""
    chosen, output = {}, folder / "cnn_dataset"
    for name in files.names:
        parts = PurePosixPath(name).parts
        label = parts[-2].lower() if len(parts) > 1 else None
        if label in CLASSES:
            chosen[name] = output / label
    if len(set(chosen.values())) < len(CLASSES):
        raise files.lack("folders dogs, food, vehicles", folders_of(files))
    remarks = copy_photos(files, chosen, 64)
    require(files, CLASSES, {path.name for path in output.iterdir()})
    return output, [counted(len(list(output.glob("*/*"))), "photos", 30_000), *remarks]


def require(files, wanted, there):
    """DataError where classes are missing."""
    if missing := [name for name in wanted if name not in there]:
        what = ", ".join([*missing[:3], *["..."] * (len(missing) > 3)])
        raise DataError(f"{files.path} has no readable photo of {what}: download it again.")


def place_of(name):
    """(number of the part, class) of training/Bread/1.jpg or training/0_1.jpg; None elsewhere."""
    *above, file = PurePosixPath(name).parts
    at = max((i for i, part in enumerate(above) if part.lower() in PARTS), default=None)
    if at is None:
        return None
    below, numbered = above[at + 1 :], re.match(r"(\d+)_\d+\.\w+$", file)
    label = below[-1] if below else numbered[1] if numbered else None
    return label and (PARTS[above[at].lower()], label)


def lay_out_food(files, folder):
    """food11/{training,validation,evaluation}/<class>/, or <name>/{train,val,test}/<class>/."""
    placed = {name: place for name in files.names if (place := place_of(name))}
    if not placed:
        raise files.lack("folders training and evaluation, or train and test", folders_of(files))
    known = {re.sub(r"\W|_", "", name).lower(): name for name in FOOD11}
    known |= {str(number): name for number, name in enumerate(FOOD11)}
    labels = {label: known.get(re.sub(r"\W|_", "", label).lower()) for _, label in placed.values()}
    if is_food11 := all(labels.values()):
        output = folder / "food11"
    else:
        folders = [files.path.stem, *PurePosixPath(next(iter(placed))).parts]
        stem = next((stem for stem in folders if FOOD_NAME.match(stem)), None)
        if stem is None:
            seen = f"{', '.join(sorted(labels)[:3])}, which are not Food-11's classes"
            raise DataError(f"{files.path} has {seen}: if they are food, name it food101.")
        output = folder / re.sub(r"[ _-]*\(\d+\)$", "", stem)
        labels = {label: label for label in labels}
    parts = ("training", "validation", "evaluation")
    parts = parts if output.name == "food11" else ("train", "val", "test")
    chosen = {name: output / parts[part] / labels[label] for name, (part, label) in placed.items()}
    remarks = copy_photos(files, chosen)
    there = {f"{path.name} in {path.parent.name}" for path in output.glob("*/*")}
    for part in parts:
        if part != parts[1] or (output / part).exists():
            classes = FOOD11 if is_food11 else sorted(labels)
            require(files, [f"{name} in {part}" for name in classes], there)
    return output, remarks


HEADER = ";".join(("Date", "Time", *POWER_COLUMNS))
NUMBER = r"-?\d*\.?\d+([eE][-+]?\d+)?"  # "0." is one that was cut
POWER_ROW = re.compile(rf"\d+/\d+/\d{{4}};\d+:\d\d:\d\d(;(\?|{NUMBER})?){{7}}")
MISSING = re.compile(r"(?<=;)(nan|n/?a|null|none)(?=;|$)", re.IGNORECASE)


@cache
def seconds(text, form):
    """A date or a time as a number; there are few distinct ones."""
    return calendar.timegm(time.strptime(text, form))


def lay_out_power(files, folder):
    """household_power_consumption.txt as UCI writes it: semicolons, decimal points, "?", LF.

    DataError where a column is missing, a row is wrong, or the minutes are not in ascending order.
    """
    output, rows, last, say = folder / "household_power_consumption.txt", 0, None, progress()
    names = r"(household_power_consumption|minute_household_power).*\.(txt|csv)(\.[gx]z)?"
    name = files.pick(names, output.name)

    def fault(what):
        return DataError(f"{files.where(name)}: {what}: download it again from UCI.")

    with files.text(name) as text, output.open("w", newline="\n") as file:
        header = text.readline()
        separator = max(";,\t|", key=header.count)
        columns = [
            re.sub(r"\W+", "_", name.strip(' "\n')) for name in header.lower().split(separator)
        ]
        wanted = {name.lower(): name for name in HEADER.split(";")}
        if missing := [wanted[name] for name in wanted if name not in columns]:
            raise fault(f"its first line is {header[:60]!r}, without {', '.join(missing[:3])}")
        places = [columns.index(name) for name in wanted]
        file.write(f"{HEADER}\n")
        for number, line in enumerate(text, 2):
            line = line.replace(",", ".") if separator == ";" else line
            fields = [field.strip(' "\n') for field in line.split(separator)]
            if fields == [""]:
                continue
            row = ";".join(fields[k] for k in places) if len(fields) == len(columns) else ""
            try:
                row = row if POWER_ROW.fullmatch(row) else MISSING.sub("?", row)
                if not POWER_ROW.fullmatch(row):
                    raise ValueError
                day, clock, _ = row.split(";", 2)
                now = seconds(day, "%d/%m/%Y") + seconds(clock, "%H:%M:%S")
            except ValueError:
                what = f"line {number} is {line[:60]!r}"
                raise fault(f"{what}, not like 16/12/2006;17:24:00;4.216;...") from None
            if last is not None and (now <= last or (now - last) % 60):
                raise fault(f"line {number} is not whole minutes after the one before")
            file.write(f"{row}\n")
            rows, last = rows + 1, now
            if not rows % 10_000:
                say(f"{rows:,} minutes")
    if not rows:
        raise fault("it holds no measurements")
    remarks = [f"its separator was {separator!r}"] * (separator != ";")
    if others := [name for name in columns if name and name not in wanted]:
        remarks.append(f"its columns {', '.join(others)} left out")
    return output, [counted(rows, "minutes", 2_075_259), *remarks]


VECTOR = re.compile(rf"[^ \udc80-\udcff]+( {NUMBER}){{100}}")  # surrogates: no UTF-8


def lay_out_vectors(files, folder):
    """glove.6B.100d.txt: a word and 100 numbers in each line, UTF-8."""
    output, count, say = folder / "glove.6B.100d.txt", 0, progress()
    name = files.pick(r"glove[._-]6B[._-]100d.*\.txt(\.[gx]z)?", output.name)
    with files.text(name) as text, output.open("w", encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(text, 1):
            row = line.rstrip("\n\t ").replace("\t", " ")
            if not row or number == 1 and re.fullmatch(r"\d+ 100", row):  # word2vec's header
                continue
            if not VECTOR.fullmatch(row):
                fault = f"line {number:,} is no word in UTF-8 and 100 numbers ({line[:30]!r})"
                raise DataError(f"{files.where(name)}: {fault}: download it again.")
            file.write(f"{row}\n")
            count += 1
            say(f"{count:,} words")
    if not count:
        raise files.lack("vectors", [name])
    return output, [counted(count, "words", 400_000)]


def lay_out_weights(files, folder):
    """pretrained/{squeezenet1_1,mobilenet_v2,tf_efficientnet_lite0}.pt: state dicts that fit."""
    import torch

    output, remarks = folder / "pretrained", []
    chosen = {name: files.pick(rf"{name}\b.*\.pth?", f"{name}.pt") for name in NETWORKS}
    output.mkdir()
    for name, inside in chosen.items():
        with files.open(inside) as stream:
            data = stream.read()
        try:
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            state = next((loaded[key] for key in ("state_dict", "model") if key in loaded), loaded)
            state = {re.sub(r"^(module\.|_orig_mod\.)+", "", key): x for key, x in state.items()}
            build_network(name).load_state_dict(state)
        except Exception as error:  # unpickling has many ways to fail
            reason = " ".join((str(error) or repr(error)).split()[:30])
            fault = f"{inside} does not hold the weights of {name} ({reason})"
            advice = "replace it, or delete it to download them"
            raise DataError(f"{files.path}: {fault}: {advice}.") from None
        if state.keys() == loaded.keys():
            (output / f"{name}.pt").write_bytes(data)
        else:
            torch.save(state, output / f"{name}.pt")
            remarks.append(f"{inside}: the names of its layers were shortened")
    return output, remarks
