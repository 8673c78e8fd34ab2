"""`anymal keys`: make, list and take back the keys of a service.

Does not start the service; a running one notices by itself that its file changed.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from anymal.errors import AnymalError
from anymal.protocol.conversation import validated
from server.edge.key_file import (
    KeyEntry,
    digest_of,
    new_key,
    new_salt,
    read_key_file,
    write_key_file,
)

_VARIABLE = "ANYMAL_KEYS_FILE"
FileOption = Annotated[
    Path | None,
    typer.Option("--keys-file", help=f"The file; {_VARIABLE}, or keys.json here, by default."),
]
NameArgument = Annotated[str, typer.Argument(help="What logs call the key's holder.")]

keys = typer.Typer(no_args_is_help=True, help="Make and take back the keys of a service.")


@keys.command("new")
def new(
    name: NameArgument,
    admin: Annotated[bool, typer.Option("--admin", help="May use /admin and /metrics.")] = False,
    embeds: Annotated[bool, typer.Option("--embeds", help="May send prompt_embeds.")] = False,
    requests_per_minute: Annotated[
        float | None, typer.Option(help="Most requests a minute; no limit by default.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Most answers at once; no limit by default.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Keys of one group share the caches of prompts and media.")
    ] = None,
    keys_file: FileOption = None,
) -> None:
    """Make a key and print it, once: only its hash is stored."""
    path = _path(keys_file)
    entries = read_key_file(path) if path.exists() else []
    if any(entry.name == name for entry in entries):
        raise AnymalError(f"{path} has a key named {name!r} already; choose another name")
    key, salt = new_key(), new_salt()
    given = {
        "name": name,
        "salt": salt.hex(),
        "sha256": digest_of(key, salt).hex(),
        "is_admin": admin,
        "may_send_embeds": embeds,
        "requests_per_minute": requests_per_minute,
        "max_concurrent": max_concurrent,
        "group": group,
    }
    write_key_file(path, [*entries, validated(KeyEntry, given)])
    typer.echo(key)
    typer.echo(f"Its hash is in {path}. The key is not shown again.", err=True)


@keys.command("list")
def show(keys_file: FileOption = None) -> None:
    """List the holders and what they may do."""
    for entry in read_key_file(_path(keys_file)):
        rights = entry.model_dump(exclude_defaults=True, exclude={"name", "salt", "sha256"})
        about = ", ".join(f"{key}={value}" for key, value in rights.items())
        typer.echo(f"{entry.name}\t{about}".rstrip())


@keys.command("remove")
def remove(name: NameArgument, keys_file: FileOption = None) -> None:
    """Take a key back; a running service refuses it from its next request on."""
    path = _path(keys_file)
    entries = read_key_file(path)
    left = [entry for entry in entries if entry.name != name]
    if len(left) == len(entries):
        known = ", ".join(entry.name for entry in entries) or "none"
        raise AnymalError(f"{path} has no key named {name!r}; there: {known}")
    write_key_file(path, left)


def _path(given: Path | None) -> Path:
    return given or Path(os.environ.get(_VARIABLE, "keys.json"))
