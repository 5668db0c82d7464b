"""A drawn stand-in for the CNN data set: without the photos, every cell still has something to learn from."""

import hashlib

import numpy as np
import torch
from PIL import Image, ImageDraw

from a1.data.images import CLASSES, IMAGE_SIZE, ImageSet

CANVAS = 128  # pixels; figures are drawn large and scaled down, which smooths their edges


def random_color(rng, low=0, high=256):
    """An RGB colour of the same distribution for every class, so that colour alone tells nothing."""
    return tuple(int(value) for value in rng.integers(low, high, 3))


def draw_dog(draw, rng):
    """A face: pointed or hanging ears, eyes, a muzzle with a nose, sometimes a tongue."""
    fur, ears, muzzle, dark = (
        random_color(rng),
        random_color(rng),
        random_color(rng),
        random_color(rng, 0, 70),
    )
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


def draw_food(draw, rng):
    """A plate from above with three to eight round pieces on it."""
    draw.ellipse((4, 4, 124, 124), fill=random_color(rng))
    draw.ellipse((18, 18, 110, 110), fill=random_color(rng))
    for _ in range(rng.integers(3, 9)):
        radius, distance, angle = rng.uniform(8, 20), rng.uniform(0, 32), rng.uniform(0, 2 * np.pi)
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


FIGURES = {"dogs": draw_dog, "food": draw_food, "vehicles": draw_vehicle}


def draw_image(name, rng):
    """One picture of class `name`, uint8 [3, 64, 64]: gradient and clutter, a tilted figure, noise."""
    shade = Image.linear_gradient("L").rotate(rng.uniform(0, 360)).crop((64, 64, 64 + CANVAS, 64 + CANVAS))
    here, there = (Image.new("RGB", (CANVAS, CANVAS), random_color(rng)) for _ in range(2))
    picture = Image.composite(here, there, shade)
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
    pixels = np.asarray(picture.resize((IMAGE_SIZE, IMAGE_SIZE)), np.float32)
    pixels = pixels + rng.uniform(4, 24) * rng.standard_normal(pixels.shape, np.float32)
    return pixels.clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def draw_stand_in(per_class=400, seed=0):
    """ImageSet of `per_class` drawings of each class, uint8 [3 * per_class, 3, 64, 64]; same seed, same set."""
    rng = np.random.default_rng(seed)
    images = np.stack([draw_image(name, rng) for name in CLASSES for _ in range(per_class)])
    labels = torch.arange(len(CLASSES)).repeat_interleave(per_class)
    names = [f"{name}/{number}.png" for name in CLASSES for number in range(1, per_class + 1)]
    fingerprint = hashlib.sha256(images.tobytes()).hexdigest()
    source = f"drawn stand-in set, {len(names):,} images"
    return ImageSet(torch.from_numpy(images), labels, names, fingerprint, source, [])
