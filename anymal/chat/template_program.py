"""The program that renders chat templates; it runs by itself, in a small process with limits.

Does not import the project: it starts in a tenth of a second. `anymal.chat.template_process` starts
it and speaks with it, a line of JSON each way:

    {"template": str, "variables": {...}, "max_chars": int, "seconds": float, "max_bytes": int}
    {"text": str}, {"refusal": str} or {"excess": str}

The environment is that of transformers (`transformers.utils.chat_template_utils`), but that the
date is always the same: a prompt must not change overnight.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

TODAY = datetime(2024, 7, 26)


class _Generation(Extension):
    """`{% generation %}`, which marks answers for training; what is in it is written as it is."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def compiled(source: str) -> jinja2.Template:
    """A template, ready to render.

    Args:
        source: Jinja.

    Returns:
        The template.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": TODAY.strftime}
    return environment.from_string(source)


def rendered(request: dict[str, Any]) -> dict[str, str]:
    """Render one template.

    Args:
        request: As above.

    Returns:
        The reply. Any error comes from the template, so the reply reports it as a refusal.
    """
    pieces, num_chars = [], 0
    try:
        for piece in compiled(request["template"]).generate(request["variables"]):
            pieces.append(piece)
            num_chars += len(piece)
            if num_chars > request["max_chars"]:
                return {"excess": f"writes more than {request['max_chars']} characters"}
    except MemoryError:
        return {"excess": f"needs more than {request['max_bytes'] >> 20} MiB of memory"}
    except jinja2.TemplateError as error:
        return {"refusal": str(error)[:500]}
    except Exception as error:
        return {"refusal": f"{type(error).__name__}: {error}"[:500]}
    return {"text": "".join(pieces)}


def serve() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        start, stop = _limits(request)
        start()
        reply = json.dumps(rendered(request))
        stop()
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()


def _limits(request: dict[str, Any]) -> tuple[Callable[[], object], Callable[[], object]]:
    """Functions that start and stop the clock; memory is limited for good.

    The system ends this process when the time is over, whatever it is at.
    """
    if sys.platform == "win32":  # the caller's own deadline remains
        return lambda: None, lambda: None
    import resource
    import signal

    if sys.platform == "linux":
        size = request["max_bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = request["seconds"]
    return (
        lambda: signal.setitimer(signal.ITIMER_PROF, seconds),
        lambda: signal.setitimer(signal.ITIMER_PROF, 0),
    )


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Without the escapes for HTML of Jinja's own filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


if __name__ == "__main__":
    serve()
