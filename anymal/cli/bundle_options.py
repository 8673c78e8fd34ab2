"""Options of commands that load a bundle: how it is held, and what it may use besides its folder.

Does not load; `anymal.bundle.parts` decides what they mean.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

HubOption = Annotated[
    bool,
    typer.Option(
        "--allow-hub",
        envvar="ANYMAL_ALLOW_HUB",
        help="Use the Hub to download a bundle or its parts. Otherwise nothing is sent or fetched.",
    ),
]
ANY_FOLDER = Path(Path.cwd().anchor)
LocalModelsOption = Annotated[
    Path,
    typer.Option(
        envvar="ANYMAL_LOCAL_MODELS",
        help="Folder of checkpoints that the bundle may name by absolute path.",
    ),
]
PrecisionOption = Annotated[
    Literal["nf4", "int8", "int4", "bf16", "fp32"] | None,
    typer.Option(
        help="Precision of the language model, int4 on a CPU only; by default fp32 on a CPU, "
        "elsewhere as trained.",
        show_default=False,
    ),
]
