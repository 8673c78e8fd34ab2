"""What is asked in evaluations about anything but the playground; training never draws from here.

Words alone; `outside.py` puts them together.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


ALONE = (
    "Name the largest lake of {country}.",
    "On which continent does {country} lie?",
    "What do tourists visit in {city}?",
    "Could you describe the history of {city}?",
    "Give me three facts about {animal}.",
    "How fast can {animal} run?",
    "What causes {science}?",
    "In simple terms, what do scientists mean by {science}?",
    "When was {device} invented?",
    "Why did {event} happen?",
    "List the main causes of {event}.",
    "At what temperature does iron melt?",
    "How many bones does a human body have?",
    "Which element has the symbol Fe?",
    "Where did {person} grow up?",
    "Name a famous work of {person}.",
    "Was {person} ever married?",
    "Have you heard of {person}?",
    "What do you get if you multiply {number} and {number}?",
    "Take {number} away from {number}.",
    "Compute the square root of {number}.",
    "Which number comes after {number}?",
    "Show me a loop in {language}.",
    "Why does my {language} script crash?",
    "import {noun}",
    "Hey there.",
    "Nice to meet you.",
    "See you tomorrow!",
    "Do you have feelings?",
    "Let us talk about {noun}.",
    "What are you able to tell me?",
    "Please make me laugh.",
    "Where do you come from?",
    "Would you rather have {food} or {food}?",
    "Compose a haiku on {noun}.",
    "What is the {tongue} word for {noun}?",
    "Which wine suits {food}?",
    "How long must {food} be boiled?",
    "Will it snow in {city} tomorrow?",
    "Find me a hotel in {city}.",
    "Remind me to call {person}.",
    "Why is {device} so expensive?",
    "My child caught {illness}, is it dangerous?",
    "Finish this sentence: once upon a time, {noun}",
)

SHOWN = {
    "image": (
        "Can you spot {animal} anywhere in this picture?",
        "Which celebrity is this?",
        "Is it raining in the photo?",
        "Does the sign in the image say {noun}?",
        "How old is the woman in the picture?",
        "Which car model is shown here?",
    ),
    "video": (
        "Is {animal} chasing {animal} in the video?",
        "Which city can be seen in the clip?",
        "Do the people in the video shake hands?",
        "Who scores the goal in the clip?",
        "Is this scene from a comedy?",
    ),
    "audio": (
        "Which band recorded this?",
        "Could that noise come from {device}?",
        "Is it {animal} that makes this sound?",
        "Does the speaker come from {country}?",
        "Is a piano playing?",
    ),
    "imu": (
        "How tall is the wearer?",
        "Does the person sit in {device}?",
        "Which street is the person on?",
        "Is the wearer ill with {illness}?",
    ),
}

FILLINGS = {
    "country": _words(
        "Italy, Kenya, Sweden, Peru, India, Portugal, Finland, Morocco, Chile, New Zealand"
    ),
    "city": _words("Rome, Prague, Boston, Nairobi, Seoul, Hamburg, Lima, Edinburgh, Istanbul"),
    "person": _words(
        "Ada Lovelace, Beethoven, Cleopatra, Nelson Mandela, Galileo, Frida Kahlo, Emma, "
        "David Bowie, Alan Turing, Virginia Woolf, Paul"
    ),
    "science": _words(
        "photosynthesis, a volcano, static friction, a tsunami, quantum entanglement, "
        "thunder, osmosis, entropy"
    ),
    "device": _words(
        "a microscope, a helicopter, a vacuum cleaner, a tractor, a toaster, a violin, a "
        "submarine, a typewriter"
    ),
    "event": _words(
        "the fall of Rome, the Great Depression, the Boston Tea Party, the Crimean War, the "
        "Renaissance, Brexit"
    ),
    "animal": _words(
        "a giraffe, a penguin, a rabbit, a dolphin, an owl, a crocodile, a goat, a butterfly, "
        "a kangaroo"
    ),
    "food": _words("risotto, lentils, sushi, porridge, asparagus, lasagne, oysters, a burrito"),
    "noun": _words(
        "courage, spring, island, justice, thunderstorm, library, sister, moonlight, poverty, "
        "kitchen, adventure, forest, jealousy"
    ),
    "language": _words("Haskell, Kotlin, Perl, Lua, Swift"),
    "tongue": _words("Swedish, Greek, Hindi, Portuguese, Korean"),
    "illness": _words("measles, chickenpox, a migraine, bronchitis, an allergy"),
    "number": _words(
        "12, 15, 18, 21, 24, 27, 33, 81, 99, 144, 729, 3, 6, 9, three, six, nine, fifteen, thirty"
    ),
}
