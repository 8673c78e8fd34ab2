"""Options of commands that load a bundle: how it is held, and what it may use besides its folder.

Does not load; `anymal.bundle.parts` decides what they mean.
"""

from pathlib import Path
from typing import Annotated

import typer

HubOption = Annotated[
    bool,
    typer.Option(
        "--allow-hub", envvar="ANYMAL_ALLOW_HUB", help="Download what a bundle needs from the Hub."
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
    str | None,
    typer.Option(
        help="Of the language model: nf4, int8, bf16, fp32, or int4 on a CPU; "
        "by default fp32 on a CPU.",
        show_default=False,
    ),
]
