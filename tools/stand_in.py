"""Drawn stand-ins for every data set, in the formats of the real ones.

With them every notebook runs without any data; what is learned from them means nothing. The same
seed draws the same files.
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NOTE = "Drawn stand-in data, no photos: numbers learned from it mean nothing."
NOTE_FILE = "STAND_IN.txt"
CANVAS = 128  # pixels; figures are drawn large and scaled down, which smooths their edges


def save_jpeg(image, path):
    """Write an image as JPEG of quality 95, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=95)


def random_color(rng, low=0, high=256):
    """An RGB colour of the same distribution for every class, so that colour tells nothing."""
    return tuple(int(value) for value in rng.integers(low, high, 3))


def draw_dog(draw, rng):
    """A face: pointed or hanging ears, eyes, a muzzle with a nose, sometimes a tongue."""
    fur, ears, muzzle = (random_color(rng) for _ in range(3))
    dark = random_color(rng, 0, 70)
    if rng.random() < 0.5:
        draw.polygon([(18, 4), (22, 62), (64, 30), (106, 62), (110, 4), (64, 40)], fill=ears)
    else:
        draw.ellipse((5, 28, 35, 104), fill=ears)
        draw.ellipse((93, 28, 123, 104), fill=ears)
    draw.ellipse((24, 18, 104, 114), fill=fur)
    if rng.random() < 0.4:
        draw.ellipse((56, 94, 72, 126), fill=random_color(rng, 100))
    draw.ellipse((42, 64, 86, 110), fill=muzzle)
    draw.ellipse((53, 64, 75, 82), fill=dark)
    for x in (46, 82):
        draw.ellipse((x - 9, 42, x + 9, 60), fill=random_color(rng, 200))
        draw.ellipse((x - 5, 46, x + 5, 57), fill=dark)


def draw_plate(draw, rng):
    """A plate from above with three to eight round pieces on it."""
    draw.ellipse((4, 4, 124, 124), fill=random_color(rng))
    draw.ellipse((18, 18, 110, 110), fill=random_color(rng))
    for _ in range(rng.integers(3, 9)):
        radius, distance = rng.uniform(8, 20), rng.uniform(0, 32)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = 64 + distance * np.cos(angle), 64 + distance * np.sin(angle)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=random_color(rng))


def draw_vehicle(draw, rng):
    """A car or a lorry from the side: body, windows, two wheels."""
    body, glass, tyre = random_color(rng), random_color(rng), random_color(rng, 0, 70)
    if rng.random() < 0.5:
        draw.polygon([(20, 62), (40, 32), (88, 32), (108, 62)], fill=body)
        draw.polygon([(30, 60), (44, 38), (62, 38), (62, 60)], fill=glass)
        draw.polygon([(67, 60), (67, 38), (85, 38), (98, 60)], fill=glass)
        draw.rounded_rectangle((4, 58, 124, 94), 10, fill=body)
    else:
        draw.rectangle((4, 18, 82, 94), fill=random_color(rng))
        draw.polygon([(86, 94), (86, 38), (112, 38), (124, 62), (124, 94)], fill=body)
        draw.polygon([(92, 62), (92, 44), (108, 44), (117, 62)], fill=glass)
    for x in (30, 98):
        draw.ellipse((x - 16, 78, x + 16, 110), fill=tyre)
        draw.ellipse((x - 7, 87, x + 7, 101), fill=random_color(rng, 100))


FIGURES = {"dogs": draw_dog, "food": draw_plate, "vehicles": draw_vehicle}


def draw_photo(name, rng):
    """One image of class `name`, 64x64: gradient and clutter, a tilted figure, noise."""
    shade = Image.linear_gradient("L").rotate(rng.uniform(0, 360))
    here, there = (Image.new("RGB", (CANVAS, CANVAS), random_color(rng)) for _ in range(2))
    picture = Image.composite(here, there, shade.crop((64, 64, 64 + CANVAS, 64 + CANVAS)))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 7)):
        (x, y), (width, height) = rng.integers(-20, CANVAS, 2), rng.integers(6, 50, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + width, y + height), fill=random_color(rng))
    figure = Image.new("RGBA", (CANVAS, CANVAS))
    FIGURES[name](ImageDraw.Draw(figure), rng)
    if rng.random() < 0.5:
        figure = figure.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = int(rng.integers(48, 116))
    figure = figure.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR).resize((side, side))
    picture.paste(figure, tuple(rng.integers(-10, CANVAS - side + 11, 2).tolist()), figure)
    pixels = np.asarray(picture.resize((64, 64)), np.float32)
    pixels = pixels + rng.uniform(4, 24) * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_photos(folder, per_class=210, seed=0):
    """Write `per_class` drawings a class, 64x64, as `folder`/{dogs,food,vehicles}/1.jpg ..."""
    rng = np.random.default_rng(seed)
    for name in FIGURES:
        for number in range(1, per_class + 1):
            save_jpeg(draw_photo(name, rng), Path(folder) / name / f"{number}.jpg")


POWER_COLUMNS = (
    "Global_active_power",  # kW
    "Global_reactive_power",  # kvar
    "Voltage",
    "Global_intensity",  # A
    "Sub_metering_1",  # Wh a minute, as the next two
    "Sub_metering_2",
    "Sub_metering_3",
)
DAY = 24 * 60  # minutes


def draw_power(path, days=90, seed=0):
    """Write a drawn household to `path` as UCI does: rhythms of day and week, spikes, gaps.

    A fridge that cycles, a daily and weekly level, and appliances switched on at random, more often
    when people are up; voltage and current follow from the power.
    """
    rng = np.random.default_rng(seed)
    minute = np.arange(days * DAY)
    hour, weekend = minute % DAY / 60, minute // DAY % 7 >= 5
    awake = 0.1 + np.exp(-(((hour - 7.5) / 1.5) ** 2)) + 1.3 * np.exp(-(((hour - 20) / 2.5) ** 2))
    awake += 0.5 * weekend * np.exp(-(((hour - 13) / 3) ** 2))
    meters = np.zeros((3, len(minute)))  # kW: kitchen, laundry, heating
    for meter, (per_day, level, length) in zip(meters, [(4, 2.0, 12), (2, 1.2, 45), (5, 1.5, 25)]):
        for start in np.flatnonzero(rng.random(len(minute)) < per_day / DAY * awake / awake.mean()):
            meter[start : start + rng.geometric(1 / length)] = level * rng.uniform(0.7, 1.3)
    fridge = 0.12 * (minute % 52 < 19)
    power = 0.2 + 0.25 * awake + fridge + meters.sum(0) + rng.normal(0, 0.02, len(minute))
    voltage = 241 - 1.3 * power - np.sin(2 * np.pi * hour / 24) + rng.normal(0, 0.8, len(minute))
    reactive = (0.05 + fridge + 0.03 * rng.standard_normal(len(minute))).clip(0)
    values = np.stack([power, reactive, voltage, 1000 * power / voltage, *(meters * 1000 / 60)], 1)
    for start in rng.integers(0, len(minute), days // 3):
        values[start : start + rng.integers(1, 4)] = np.nan
    values[len(minute) // 3 :][: 5 * 60] = np.nan  # one long gap
    times = np.datetime64("2007-01-01T00:00") + minute
    with open(path, "w") as file:
        file.write(";".join(("Date", "Time", *POWER_COLUMNS)) + "\n")
        for time, row in zip(times.tolist(), values.tolist()):
            numbers = [f"{value:.3f}".replace("nan", "?") for value in row]
            day = f"{time.day}/{time.month}/{time.year}"
            file.write(";".join([day, f"{time:%H:%M:%S}", *numbers]) + "\n")


AIRLINES = {  # handle: name
    "united": "United",
    "usairways": "US Airways",
    "americanair": "American",
    "southwestair": "Southwest",
    "jetblue": "JetBlue",
    "virginamerica": "Virgin America",
}
SENTIMENTS = ("negative", "neutral", "positive")
LEANING = (  # words that lean to each sentiment
    "late again delayed cancelled lost bag worst hold rude hours never stuck ruined 😡 broken",
    "when does is there can you what where number change ticket link flying tomorrow to from ?",
    "thanks great love best crew awesome amazing smooth kind friendly perfect 😊 happy !",
)
COMMON = "the flight i my to a and for on was you in gate seat plane agent today it at just with"
THINGS = "phone show game car album"


def write_table(path, columns, rows):
    """Write a csv file in UTF-8, every field quoted: a bare carriage return stays in its field."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([columns, *rows])


def draw_tweets(folder, count=1500, others=500, seed=0):
    """Write drawn sentences as `folder`/Tweets.csv and other_tweets.csv; a tenth mislabelled."""
    rng = np.random.default_rng(seed)
    leaning, common, handles = [words.split() for words in LEANING], COMMON.split(), list(AIRLINES)

    def draw(about):
        label = rng.choice(3, p=[0.6, 0.22, 0.18])
        length = rng.integers(5, 22)
        words = [
            rng.choice(leaning[label] if rng.random() < 0.4 else common) for _ in range(length)
        ]
        label = rng.choice(3) if rng.random() < 0.1 else label
        return (
            SENTIMENTS[label],
            rng.choice([1.0, 0.67], p=[0.7, 0.3]),
            f"{about} {' '.join(words)}",
        )

    columns = ("airline_sentiment", "airline_sentiment_confidence", "text")
    named = [handles[rng.integers(len(handles))] for _ in range(count)]
    rows = [(AIRLINES[handle], *draw(f"@{handle}")) for handle in named]
    write_table(Path(folder) / "Tweets.csv", ("airline", *columns), rows)
    rows = [draw(f"my {rng.choice(THINGS.split())}") for _ in range(others)]
    write_table(Path(folder) / "other_tweets.csv", columns, rows)


def draw_vectors(path, seed=0):
    """Write a random vector of 100 numbers for each of the tweets' words, as GloVe does."""
    rng = np.random.default_rng(seed)
    words = " ".join((COMMON, *LEANING, THINGS, *AIRLINES, ". , : ' n't 's <user> <unk>")).split()
    with open(path, "w", encoding="utf-8") as file:
        for word in dict.fromkeys(words):
            file.write(" ".join([word, *(f"{x:.5f}" for x in rng.normal(0, 0.4, 100))]) + "\n")


def draw_soup(draw, rng, color):
    """A full bowl with five round pieces."""
    draw.ellipse((22, 22, 106, 106), fill=color(200, 90, 30))
    for _ in range(5):
        x, y = rng.integers(36, 88, 2)
        draw.ellipse((x, y, x + 7, y + 7), fill=color(240, 200, 120))


def draw_salad(draw, rng, color):
    """Thirty leaves."""
    for _ in range(30):
        (x, y), (width, height) = rng.integers(24, 90, 2), rng.integers(10, 26, 2)
        draw.ellipse((x, y, x + width, y + height), fill=color(80, 160, 50))


def draw_noodles(draw, rng, color):
    """Twenty-two arcs."""
    for _ in range(22):
        (x, y), (width, height) = rng.integers(20, 76, 2), rng.integers(20, 36, 2)
        start, fill = rng.integers(0, 360), color(235, 205, 110)
        draw.arc((x, y, x + width, y + height), start, start + 200, fill=fill, width=3)


def draw_egg(draw, rng, color):
    """A fried egg."""
    draw.ellipse((24, 34, 104, 98), fill=color(245, 245, 235))
    x, y = rng.integers(44, 62, 2)
    draw.ellipse((x, y, x + 26, y + 26), fill=color(250, 180, 30))


DISHES = {"egg": draw_egg, "noodles": draw_noodles, "salad": draw_salad, "soup": draw_soup}


def draw_food(folder, per_class=100, seed=0):
    """Write drawn dishes on plates, 128x128, as `folder`/{training,validation,evaluation}/<dish>/.

    Of the `per_class` photos of a dish 60, 20 and 20 percent are in the three parts.
    """
    rng = np.random.default_rng(seed)

    def color(*rgb):
        return tuple(
            int(value) for value in np.clip(np.array(rgb) + rng.integers(-25, 26, 3), 0, 255)
        )

    for name, draw_dish in DISHES.items():
        for number in range(1, per_class + 1):
            picture = Image.new("RGB", (CANVAS, CANVAS), color(150, 110, 75))
            draw = ImageDraw.Draw(picture)
            draw.ellipse((8, 8, 120, 120), fill=color(215, 215, 215))
            draw_dish(draw, rng, color)
            picture = picture.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
            part = ("training", "training", "training", "validation", "evaluation")[number % 5]
            save_jpeg(picture, Path(folder) / part / name / f"{number}.jpg")


def build_network(name, pretrained=False):
    """One of the three networks of transfer learning, by its library; `pretrained` downloads."""
    if name.startswith("tf_"):
        import timm

        return timm.create_model(name, pretrained=pretrained)
    from torchvision import models

    return getattr(models, name)(weights="IMAGENET1K_V1" if pretrained else None)


NETWORKS = ("squeezenet1_1", "mobilenet_v2", "tf_efficientnet_lite0")


def draw_weights(folder, seed=0):
    """Write the libraries' random initialisation of NETWORKS as `folder`/<name>.pt, in float16."""
    import torch

    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = build_network(name).state_dict()
        half = {key: x.half() if x.is_floating_point() else x for key, x in state.items()}
        torch.save(half, Path(folder) / f"{name}.pt")


def draw_all(folder):
    """Write a stand-in of every data set into `folder`, in the layout of data/, with a note."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw_photos(folder / "cnn_dataset")
    draw_power(folder / "household_power_consumption.txt")
    draw_tweets(folder)
    draw_vectors(folder / "glove.6B.100d.txt")
    draw_food(folder / "food11")
    draw_weights(folder / "pretrained")
    (folder / NOTE_FILE).write_text(NOTE + "\n", encoding="utf-8")
