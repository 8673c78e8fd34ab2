"""Copy a trained bundle to where the built-in model ships, its trained weights in bfloat16.

    python -m train.pretrain.ship runs/tiny/instruct/bundle

Aligners and LoRA train in float32 and load into float32; bfloat16 halves what the repository
carries, as the language model's file does already. Prints the line for the changelog, to which a
test holds the file.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file, save_file

from anymal.bundle.manifest import ALIGNERS, LORA, LORA_WEIGHTS, bundle_folder
from anymal.durable import write_folder
from anymal.recipe.file import TINY


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder of the finished run.")],
    out: Annotated[Path, typer.Option(help="Folder to replace.")] = TINY,
) -> None:
    """Replace the built-in model."""
    folder = bundle_folder(bundle)
    with write_folder(out) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        for path in (draft / ALIGNERS, draft / LORA / LORA_WEIGHTS):
            halve(path)
    digest = hashlib.sha256((out / ALIGNERS).read_bytes()).hexdigest()
    typer.echo(f"Built-in model: SHA-256 of `{ALIGNERS}` {digest}")


def halve(path: Path) -> None:
    """Rewrite a file of float32 weights in bfloat16."""
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes files that only their owner may read


if __name__ == "__main__":
    typer.run(main)
