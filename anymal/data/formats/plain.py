"""A row of a table whose columns are not published: messages, a question and answer, or a caption.

What several formats share that differ in where rows and media come from. Does not read files.
"""

from collections.abc import Mapping
from typing import Any

from anymal.data.formats.llava import llava_messages
from anymal.data.formats.trl import trl_messages
from anymal.data.media_folder import Part
from anymal.data.placeholders import Media, with_media
from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS, PromptStyle

# What data sets call the same thing, the first that a row has counts.
QUESTIONS = ("question", "query", "instruction")
ANSWERS = ("answer", "response", "output")
CAPTIONS = ("text", "caption", "label")
CONVERSATIONS = ("messages", "conversations", "prompt", "completion", "system")
KEPT = ("id", "meta")
NAMES = frozenset((*QUESTIONS, *ANSWERS, *CAPTIONS, *CONVERSATIONS, *KEPT))
