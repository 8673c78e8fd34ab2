"""The default precision for serving.

Does not convert anything. Evaluation and training keep the precision that a bundle was trained at.

On a CPU: fp32, with LoRA merged into the weights it was trained beside. That is the trained
function, about twice as fast as nf4, which dequantises at every call
(benchmarks/results/serving_precision.json), and its greedy answers do not depend on what else is
asked. int8 and int4 take less memory and, in wide models, less time for each word, but more for
prompts, and they round again (docs/serving.md says what that costs): they are for who asks for
them. Elsewhere: as trained, because memory decides there. LoRA is merged wherever that does not
round the weights again, and on a CPU at int8 and int4.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from anymal.assemble import Assembled
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.manifest import bundle_folder
from anymal.bundle.parts import THIS_MACHINE, Reach
from anymal.llm.merge_lora import MERGED_PRECISIONS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How the weights are held.

    Attributes:
        precision: One of `anymal.bundle.load.PRECISIONS`.
        merge_lora: Whether LoRA is in the weights rather than beside them.
    """

    precision: str
    merge_lora: bool

    def described(self, trained: str) -> str:
        """The choice in words.

        Args:
            trained: The precision of training.
        """
        if not self.merge_lora:
            return f"{self.precision}, LoRA unmerged"
        origin = "" if trained in ("fp32", "bf16") else f" dequantised {trained}"
        return f"{self.precision}, LoRA merged into its{origin} weights"


def load_to_answer(
    bundle: str | Path,
    *,
    precision: str | None = None,
    merge_lora: bool | None = None,
    device: str = "cpu",
    reach: Reach = THIS_MACHINE,
) -> Assembled:
    """Load a bundle for answering, and log how its language model is held.

    Args:
        bundle: Its folder, `tiny` for the built-in model, or `ORG/NAME[@REV]` of the Hub.
        precision: Of the language model: nf4, int8, int4, bf16 or fp32; None chooses.
        merge_lora: Add LoRA to the weights it was trained beside; None chooses.
        device: Torch device.
        reach: What it may use besides its own folder and what was downloaded from the Hub before.

    Returns:
        The model and its processor.

    Raises:
        BundleError: It is missing or damaged, or a part differs or is beyond its reach.
        RecipeError: It cannot be built, or not be held so.
    """
    folder = bundle_folder(bundle, allow_hub=reach.allow_hub)
    trained = describe(folder).recipe.llm.precision
    held = serving_precision(
        trained=trained, device=device, precision=precision, merge_lora=merge_lora
    )
    assembled = load_bundle(
        folder,
        precision=held.precision,
        merge_lora=held.merge_lora,
        device=device,
        reach=reach,
    )
    logger.info("%s: language model in %s", bundle, held.described(trained))
    return assembled


def serving_precision(
    *,
    trained: str,
    device: str,
    precision: str | None = None,
    merge_lora: bool | None = None,
) -> Held:
    """Choose what was left open.

    Args:
        trained: The precision that the bundle was trained at.
        device: Where it answers.
        precision: As asked for; None chooses.
        merge_lora: As asked for; None chooses.

    Returns:
        The choice, which `anymal.bundle.load.load_bundle` takes.
    """
    if precision is None:
        precision = "fp32" if device == "cpu" else trained
    if merge_lora is None:
        is_llm_int8 = precision == "int8" and device != "cpu"
        merge_lora = precision in MERGED_PRECISIONS and not is_llm_int8
    return Held(precision=precision, merge_lora=merge_lora)
