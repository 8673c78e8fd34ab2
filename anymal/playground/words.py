"""The closed vocabulary of the playground and the little grammar its sentences need.

Nothing here is random and nothing renders; topics import their words from this page.
"""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "green": (44, 150, 44),
    "blue": (40, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (140, 60, 180),
    "black": (20, 20, 20),
}

SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("small", "large")

PLACES = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)

DIRECTIONS = ("left", "right", "up", "down")
SPEEDS = ("slowly", "quickly")

# The order is the order of the labels in the HAPT recordings.
ACTIVITIES = (
    "walking",
    "walking upstairs",
    "walking downstairs",
    "sitting",
    "standing",
    "lying down",
    "sitting down",
    "standing up from sitting",
    "lying down from sitting",
    "sitting up from lying",
    "lying down from standing",
    "standing up from lying",
)

# The names, and their order, are those of the Fashion-MNIST labels.
CLOTHING = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

YES_NO = ("yes", "no")


def plural(noun: str, count: int) -> str:
    """Give the noun its s where there is more than one."""
    return noun if count == 1 else f"{noun}s"


def how_many(count: int, noun: str) -> str:
    """Says a count in words: "There is one circle.", "There are no circles."."""
    verb = "is" if count == 1 else "are"
    number = DIGITS[count] if count else "no"
    return f"There {verb} {number} {plural(noun, count)}."


def listed(words: tuple[str, ...]) -> str:
    """A list as people say it: "this, that and another"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def in_order(words: tuple[str, ...]) -> str:
    """Joins things in time: ("a", "b", "c") becomes "first a, then b, then c"."""
    return "first " + ", then ".join(words)
