"""A bundle's LoRA as an adapter of PEFT that names the checkpoint it stands beside.

Does not load a model: the weights are copied, so that any machine which has the bundle can do it.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from anymal.bundle.contents import read_json
from anymal.bundle.manifest import (
    LORA,
    LORA_WEIGHTS,
    Manifest,
    bundle_folder,
    check_equal,
    read_manifest,
    read_weights,
)
from anymal.bundle.tuned import names_of_tuned
from anymal.errors import BundleError
from anymal.published.written import Written, without_aligners

_CONFIG = "adapter_config.json"


def write_adapter(bundle: str | Path, draft: Path) -> Written:
    """Write the adapter.

    Args:
        bundle: Its folder, or `tiny`.
        draft: An empty folder.

    Returns:
        What was written.

    Raises:
        BundleError: The bundle has no LoRA, or is damaged.
    """
    folder = bundle_folder(bundle)
    manifest = read_manifest(folder)
    llm, lora = manifest.recipe.llm, manifest.lora
    if lora is None:
        raise BundleError(
            f"{str(bundle)!r} has no LoRA, so that there is no adapter to write; the language "
            f"model of its aligners is {llm.path!r}, as it is"
        )
    read_weights(folder / LORA / LORA_WEIGHTS)  # whole, or an error
    config = _adapter_config(folder / LORA / _CONFIG)
    check_equal(
        f"{folder / LORA / _CONFIG}: lora",
        {"r": lora.r, "alpha": lora.alpha}
        | {"use_rslora": lora.use_rslora, "use_dora": lora.use_dora},
        {"r": config.get("r"), "alpha": config.get("lora_alpha")}
        | {key: config.get(key, False) for key in ("use_rslora", "use_dora")},
    )
    config |= {
        "base_model_name_or_path": llm.path,
        "revision": llm.revision,
        "inference_mode": True,
    }
    (draft / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(folder / LORA / LORA_WEIGHTS, draft / LORA_WEIGHTS)
    return Written(
        holds=(
            f"a PEFT adapter of {llm.path}, trained beside its weights in "
            f"{manifest.trained_precision}: peft.PeftModel.from_pretrained(base, FOLDER)"
        ),
        lacks=_beside(folder, manifest) + without_aligners(manifest.recipe.modalities),
    )


def _beside(folder: Path, manifest: Manifest) -> str:
    """What else of the language model trained, which an adapter cannot hold."""
    words = manifest.recipe.extra_tokens
    lost = ["extra tokens " + ", ".join(words)] if words else []
    if any(name.startswith("llm.") for name in names_of_tuned(folder)):
        lost.append("norms and biases that trained")
    if manifest.llm.trained is not None:
        lost.append("the language model's own weights, which trained")
    told = "".join(f"{each} (--to merged holds them); " for each in lost)
    read = ", ".join(manifest.recipe.readouts or ())
    return told + (f"read-outs {read}, which a bundle alone holds; " if read else "")


def _adapter_config(path: Path) -> dict[str, Any]:
    """The options of the adapter as PEFT wrote them."""
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} cannot be read ({error}); copy the bundle again") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path} holds no options of PEFT; copy the bundle again")
    return config
