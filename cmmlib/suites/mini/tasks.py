"""The twenty tasks of the mini suite: class names, prompts and visual domains."""

from __future__ import annotations

from dataclasses import dataclass

from ..suite import Task

RGB = tuple[int, int, int]
SIDE = 36  # pixels of an image


@dataclass(frozen=True)
class Domain:
    """How the images of one task look.  Colours are RGB in 0..255, lengths are pixels of the 36-pixel image.

    Attributes:
        foreground: colour of the object.
        background, second: colours between which the background alternates.
        pattern, period: of the background, see `cmmlib.suites.mini.backgrounds`.
        noise: amplitude of uniform noise per pixel.
        jitter: amplitude of colour shifts per image.
        size: range of the object's extent.
        tilt: range of its rotation, in degrees.
    """

    foreground: RGB
    background: RGB
    second: RGB
    pattern: str = "plain"
    period: int = 6
    noise: int = 16
    jitter: int = 14
    size: tuple[int, int] = (24, 34)
    tilt: tuple[int, int] = (-12, 12)


@dataclass(frozen=True)
class MiniTask(Task):
    """A task, and how its images are drawn.

    Attributes:
        kind: "glyph", "scan", "texture", "dots" or "colour", see `cmmlib.suites.mini.masks`.
        domain: the look of its images.
    """

    kind: str
    domain: Domain


def _split(names: str) -> tuple[str, ...]:
    return tuple(names.split("|"))


def _names(prefix: str, words: str) -> tuple[str, ...]:
    """Each word after the prefix; words are separated by "|" if there is one, else by spaces."""
    return tuple(f"{prefix} {word}" for word in words.split("|" if "|" in words else None))


SYMBOL = ("a photo of {}.", "a drawing of {}.", "an image showing {}.")
LETTER = ("a photo of {}.", "{} printed on a sign.", "a scan of {}.", "a drawing of {}.")
DIGITS = _names("the number", "zero one two three four five six seven eight nine")
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

TASKS: tuple[MiniTask, ...] = (
    MiniTask(
        "latin-upper",
        _names("the capital letter", "a b d e f g h k m n r s t w"),
        LETTER,
        "glyph",
        Domain((52, 40, 44), (250, 214, 120), (226, 140, 74), "vertical", 4, noise=22),
    ),
    MiniTask(
        "mnist",
        DIGITS,
        ("a photo of {}.", "{} written by hand."),
        "scan",
        Domain((250, 250, 250), (4, 4, 4), (4, 4, 4), noise=0, jitter=4, size=(34, 34), tilt=(0, 0)),
    ),
    MiniTask(
        "textures",
        _split(
            "horizontal stripes|vertical stripes|rising diagonal stripes|falling diagonal stripes"
            "|a checkerboard|a square grid|concentric rings|a zigzag|polka dots|random speckles"
            "|a brick wall"
        ),
        ("a photo of {}.", "a texture of {}.", "{} as a pattern."),
        "texture",
        Domain((104, 76, 150), (46, 36, 62), (78, 60, 104), "speckle", 2, noise=54),
    ),
    MiniTask(
        "greek",
        _names(
            "the greek letter",
            "alpha beta gamma delta epsilon theta lambda mu xi pi sigma phi psi omega",
        ),
        LETTER,
        "glyph",
        Domain((140, 128, 226), (26, 20, 12), (84, 74, 40), "horizontal", 3, noise=22),
    ),
    MiniTask(
        "polygons",
        _split(
            "a triangle|a square|a pentagon|a hexagon|a disc|a star with four points|a star with five points"
            "|a star with six points|a star with eight points|a cross"
        ),
        SYMBOL,
        "glyph",
        Domain((26, 24, 60), (240, 232, 80), (140, 226, 60), "checks", 3, noise=16, size=(26, 34), tilt=(-24, 24)),
    ),
    MiniTask(
        "dot-counts",
        tuple(f"{n} round {'dot' if n == 'one' else 'dots'}" for n in NUMBERS[:8]),
        ("a photo of {}.", "a picture with {}.", "{} on a surface."),
        "dots",
        Domain((10, 36, 8), (70, 230, 60), (168, 255, 120), "rising", 5, noise=14),
    ),
    MiniTask(
        "cyrillic",
        _names("the cyrillic letter", "be ghe de zhe i el ef tse che sha e yu ya"),
        LETTER,
        "glyph",
        Domain((16, 44, 40), (70, 240, 130), (40, 210, 190), "gradient", 36, noise=18, tilt=(-34, -8)),
    ),
    MiniTask(
        "arrows",
        _names(
            "an arrow pointing",
            "left|up|right|down|left and right|up and down|up left|up right|down right|down left",
        ),
        SYMBOL,
        "glyph",
        Domain((20, 60, 70), (70, 250, 244), (70, 176, 184), "vertical", 5, noise=24, size=(20, 32)),
    ),
    MiniTask(
        "colours",
        _names("the colour", "red orange yellow green turquoise blue purple pink brown grey white black"),
        ("a photo of {}.", "an object painted in {}.", "a patch of {}."),
        "colour",
        # here `foreground` is the light that falls on the scene: it multiplies all colours
        Domain((255, 190, 130), (190, 180, 184), (150, 140, 150), "speckle", 1, noise=30, size=(12, 26)),
    ),
    MiniTask(
        "hebrew",
        _names("the hebrew letter", "alef bet gimel he vav het tet kaf lamed mem ayin shin"),
        LETTER,
        "glyph",
        Domain((220, 190, 100), (18, 20, 44), (110, 106, 130), "rings", 3, noise=36),
    ),
    MiniTask(
        "clock-hands",
        tuple(f"a clock showing {n} o'clock" for n in NUMBERS),
        SYMBOL,
        "glyph",
        Domain((216, 110, 200), (14, 30, 18), (60, 84, 50), "speckle", 1, noise=30, size=(26, 34), tilt=(-7, 7)),
    ),
    MiniTask(
        "maths-operators",
        _split(
            "the universal quantifier|the existential quantifier|the element sign|the square root"
            "|the infinity sign|the inequality sign|the circled plus|the integral sign|the summation sign"
            "|the nabla operator|the approximation sign|the empty set"
        ),
        ("a photo of {}.", "{} in a formula.", "a drawing of {}."),
        "glyph",
        Domain((20, 44, 70), (90, 220, 250), (90, 110, 204), "checks", 4, noise=30, size=(20, 32)),
    ),
    MiniTask(
        "digits-8x8",
        DIGITS,
        ("a photo of {}.", "a blurry scan of {}."),
        "scan",
        Domain((255, 255, 255), (8, 8, 8), (8, 8, 8), noise=0, jitter=4, size=(36, 36), tilt=(0, 0)),
    ),
    MiniTask(
        "chess-and-cards",
        _split(
            "the chess king|the chess queen|the chess rook|the chess bishop|the chess knight|the chess pawn"
            "|the suit of spades|the suit of clubs|the suit of hearts|the suit of diamonds"
        ),
        SYMBOL,
        "glyph",
        Domain((240, 160, 110), (10, 14, 20), (40, 66, 80), "horizontal", 5, noise=18, size=(22, 34)),
    ),
    MiniTask(
        "latin-lower",
        _names("the small letter", "a b d e f g h j m n q r t y"),
        LETTER,
        "glyph",
        Domain((44, 20, 60), (170, 110, 250), (80, 40, 160), "falling", 3, noise=30, tilt=(-26, 0)),
    ),
    MiniTask(
        "braille",
        _names("the braille letter", "a b c d e f g h i j"),
        LETTER,
        "glyph",
        Domain((110, 200, 190), (12, 8, 10), (110, 84, 84), "horizontal", 2, noise=36, tilt=(-6, 6)),
    ),
    MiniTask(
        "armenian",
        _names("the armenian letter", "ayb ben gim da yech za et to zhe ini"),
        LETTER,
        "glyph",
        Domain((190, 220, 90), (28, 10, 40), (84, 60, 104), "speckle", 1, noise=52, tilt=(10, 34)),
    ),
    MiniTask(
        "georgian",
        _names("the georgian letter", "ani bani gani doni eni vini zeni tani ini kani"),
        LETTER,
        "glyph",
        Domain((70, 14, 90), (250, 90, 226), (180, 54, 210), "rising", 4, noise=18, size=(22, 32)),
    ),
    MiniTask(
        "dice",
        tuple(f"a die showing {n}" for n in NUMBERS[:6]),
        SYMBOL,
        "glyph",
        Domain((70, 10, 50), (255, 80, 180), (200, 40, 130), "vertical", 3, noise=24, tilt=(-25, 25)),
    ),
    MiniTask(
        "arabic",
        _names("the arabic letter", "alif ba jim dal sin sad ain lam mim waw"),
        LETTER,
        "glyph",
        Domain((150, 210, 110), (24, 8, 16), (120, 60, 80), "speckle", 3, noise=44, tilt=(10, 36)),
    ),
)
BY_NAME = {task.name: task for task in TASKS}
