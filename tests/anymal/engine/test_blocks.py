"""Blocks are handed out once, found again while they last, and told apart by all that matters."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.engine.blocks import BLOCK_SIZE, Blocks, Fingerprints, blocks_for
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan


def soft(digest: str, number: int = BLOCK_SIZE) -> EmbeddingSpan:
    embeddings: Any = range(number)
    return EmbeddingSpan(embeddings=embeddings, digest=digest, kind="image")


def words(*ids: int) -> TokenSpan:
    return TokenSpan(ids=ids)


def digests(*spans: Any, root: bytes = b"root") -> list[bytes]:
    return Fingerprints(Prompt(spans=spans), root=root).digests


def test_only_whole_blocks_have_digests() -> None:
    assert len(digests(words(*range(40)))) == 2
    assert blocks_for(40) == 3
    fingerprints = Fingerprints(Prompt(spans=(words(*range(40)),)), root=b"root")
    fingerprints.extend(range(40, 48))
    assert fingerprints.digests == digests(words(*range(48)))


def test_digests_do_not_depend_on_how_words_are_split() -> None:
    assert digests(words(*range(32))) == digests(words(*range(5)), words(*range(5, 32)))


def test_digest_is_over_all_that_came_before() -> None:
    first, second = digests(words(*range(32))), digests(words(99, *range(1, 32)))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_soft_tokens_are_told_apart_by_digest_offset_and_root() -> None:
    same = digests(soft("a"))
    assert digests(soft("a")) == same
    shifted = digests(soft("a", 1), soft("a", 15))
    others = [digests(soft("b")), shifted, digests(words(*range(16))), digests(soft("a"), root=b"")]
    assert same not in others


def test_released_blocks_are_found_until_they_are_needed() -> None:
    blocks = Blocks(5)
    own = blocks.take(3)
    for block, digest in zip(own, (b"1", b"2", b"3"), strict=True):
        blocks.publish(block, digest)
    blocks.release(own)
    assert blocks.find([b"1", b"2", b"3"]) == own
    assert blocks.num_available == 4
    blocks.take(2)  # the free one, and the end of what was released
    assert blocks.find([b"1", b"2", b"3"]) == own[:2]
    blocks.hold(own[:1])
    blocks.take(1)
    assert blocks.find([b"1", b"2", b"3"]) == own[:1]
    assert blocks.num_available == 0


def test_forgotten_blocks_are_not_found() -> None:
    blocks = Blocks(5)
    own = blocks.take(2)
    blocks.publish(own[0], b"1")
    blocks.forget(own)
    assert blocks.find([b"1"]) == []
    blocks.release(own)
    assert blocks.num_filled == 0


@settings(deadline=None)
@given(st.data())
def test_every_block_is_free_kept_or_held(data: st.DataObject) -> None:
    blocks, held = Blocks(9), []
    for number in range(30):
        if held and data.draw(st.booleans()):
            blocks.release(held.pop(data.draw(st.integers(0, len(held) - 1))))
        elif data.draw(st.booleans()):
            found = blocks.find([b"%d" % data.draw(st.integers(0, 5))])
            blocks.hold(found)
            held.append(found)
        elif blocks.num_available:
            own = blocks.take(data.draw(st.integers(1, blocks.num_available)))
            blocks.publish(own[0], b"%d" % (number % 6))
            held.append(own)
        distinct = {block for own in held for block in own}
        assert 0 not in distinct
        assert blocks.num_available + len(distinct) == blocks.total
