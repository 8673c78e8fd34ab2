"""Stanford's PTB tokeniser, the program that COCO's evaluation calls; pycocoevalcap brings it.

Needs Java. Does not download anything.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from anymal.errors import DataError

STANFORD_TOKENS = "Stanford's tokens"
_PROGRAM = "edu.stanford.nlp.process.PTBTokenizer"
_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
# COCO's list; with `-lowerCase`, the brackets in it never occur.
_SIGNS = "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;"


@dataclass(frozen=True, slots=True)
class StanfordTokens:
    """Stanford's PTB tokeniser, as COCO's evaluation calls it; captions that come again are kept.

    Attributes:
        package: Folder of pycocoevalcap.
    """

    package: Path
    _known: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, captions: Sequence[str]) -> list[list[str]]:
        """The lower-case words of each caption, without punctuation."""
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        if new:
            self._known.update(zip(new, self._tokens(new), strict=True))
        return [self._known[caption] for caption in captions]

    def _tokens(self, captions: Sequence[str]) -> list[list[str]]:
        jar = str(self.package / _JAR)
        command = ["java", "-cp", jar, _PROGRAM, "-preserveLines", "-lowerCase"]
        # Line breaks of any kind would tear a caption in two.
        text = "".join(f"{' '.join(caption.split())}\n" for caption in captions)
        run = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        lines = run.stdout.decode().split("\n")[: len(captions)]
        if run.returncode != 0 or len(lines) != len(captions):
            raise DataError(f"Stanford's tokeniser failed: {run.stderr.decode()[-300:]}")
        dropped = set(_SIGNS.split())
        return [[word for word in line.split() if word not in dropped] for line in lines]


def find_pycocoevalcap() -> Path:
    """The folder of pycocoevalcap, where it and Java are installed.

    Raises:
        DataError: One of them is not.
    """
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "METEOR and Stanford's tokens need pycocoevalcap; run pip install 'anymal[metrics]'"
        )
    if shutil.which("java") is None:
        raise DataError("METEOR and Stanford's tokeniser are programs in Java; install it")
    (folder, *_) = spec.submodule_search_locations
    return Path(folder)
