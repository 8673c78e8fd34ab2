"""The console of the commands prints what it is given."""

import io

from anymal.cli.console import plain_console


def test_text_comes_out_as_it_is() -> None:
    shown = io.StringIO()
    text = "wrote /tmp/[bold]run[/bold]/" + "long/" * 40 + "1e-3 and 'quotes'"
    plain_console(file=shown, width=80).print(text)
    assert shown.getvalue() == f"{text}\n"


def test_quiet() -> None:
    shown = io.StringIO()
    plain_console(file=shown, quiet=True).print("hello")
    assert shown.getvalue() == ""
