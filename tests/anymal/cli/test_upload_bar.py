"""Large uploads have a bar, on a terminal only, and it goes away."""

import io

import httpx
import pytest
from rich.console import Console

from anymal.cli.remote_asker import RemoteAsker
from anymal.cli.upload_bar import WORTH_A_BAR_BYTES, UploadBar
from anymal.client import Client
from anymal.client.errors import TimedOutError

LARGE = WORTH_A_BAR_BYTES


def console(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=80)


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_bar_shows_how_far_it_is_and_goes_away() -> None:
    on = console(is_terminal=True)
    bar = UploadBar(on)
    bar(0, LARGE)
    bar(LARGE // 2, LARGE)
    bar(LARGE, LARGE)
    assert "sending" in written(on)
    assert "4.2/8.4 MB" in written(on)
    end = written(on)
    bar.close()
    assert written(on) == end
    assert end.endswith("\x1b[2K")  # the line is wiped


@pytest.mark.parametrize(("total", "is_terminal"), [(LARGE - 1, True), (LARGE, False)])
def test_no_bar_where_it_says_nothing(total: int, is_terminal: bool) -> None:
    on = console(is_terminal=is_terminal)
    bar = UploadBar(on)
    for sent in (0, total // 2, total):
        bar(sent, total)
    bar.close()
    assert written(on) == ""


def test_bar_of_an_upload_that_failed_goes_away_with_the_client() -> None:
    on = console(is_terminal=True)

    class Slow(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.SyncByteStream)
            for number, _ in enumerate(request.stream):
                if number == 2:
                    raise httpx.WriteTimeout("slow")
            raise AssertionError("the upload ended")

    own = Client(base_url="http://anymal", transport=Slow())
    with RemoteAsker(own) as asker:
        asker._bar = UploadBar(on)
        stream = asker.stream([asker.message("What?", image=b"x" * LARGE)])
        with pytest.raises(TimedOutError):
            next(stream)
        assert "sending" in written(on)
        assert not written(on).endswith("\x1b[2K")
    assert written(on).endswith("\x1b[2K")
