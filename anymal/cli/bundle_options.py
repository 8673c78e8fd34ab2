"""Options of every command that loads a bundle: what it may use besides its own folder.

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
LocalModelsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="ANYMAL_LOCAL_MODELS",
        help="Folder of checkpoints that a bundle may name by absolute path.",
    ),
]
