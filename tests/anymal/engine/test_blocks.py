"""Blocks are handed out once, found again while they last, and told apart by all that matters."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.engine.blocks import BLOCK_SIZE, Blocks, Fingerprints, blocks_for
from anymal.engine.prompt import EmbeddingSpan, Prompt, SideSpan, TokenSpan


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


def beside(digest: str) -> SideSpan:
    embeddings: Any = range(7)
    return SideSpan(embeddings=embeddings, digest=digest, kind="image")


def test_medium_beside_the_row_counts_from_its_place_on() -> None:
    before, after = words(*range(40)), words(*range(40, 80))
    plain, one, other = (
        digests(before, *media, after) for media in ((), (beside("a"),), (beside("b"),))
    )
    assert plain[:2] == one[:2] == other[:2], "two blocks end before it"
    assert not set(plain[2:]) & set(one[2:]) | set(one[2:]) & set(other[2:])
    assert len({tuple(each) for each in (plain, one, other)}) == 3
    assert len(one) == len(plain) == 5, "it takes no positions"
    again = Fingerprints(Prompt(spans=(before, beside("a"))), root=b"root")
    again.extend(range(40, 80))  # of an answer
    assert again.digests == one


def test_media_beside_the_row_are_told_apart_by_place_order_and_number() -> None:
    a, b, first, rest = beside("a"), beside("b"), words(0), words(*range(1, 16))
    prompts: list[tuple[Any, ...]] = [
        (a, first, rest),
        (first, a, rest),
        (a, b, first, rest),
        (b, a, first, rest),
        (a, a, first, rest),
        (a, first, b, rest),
        (soft("a", 1), rest),
        (beside("a\0b"), first, rest),
    ]
    assert len({digests(*prompt)[0] for prompt in prompts}) == len(prompts)


def test_where_positions_read_ahead_no_block_is_shared_with_another_picture() -> None:
    def ahead(*spans: Any) -> list[bytes]:
        return Fingerprints(Prompt(spans=spans), root=b"root", reads_ahead=True).digests

    before, after = words(*range(40)), words(*range(40, 80))
    one = ahead(before, beside("a"), after)
    for other in ((), (beside("b"),), (beside("a"), beside("a"))):
        assert not set(ahead(before, *other, after)) & set(one)
    assert ahead(before, after, beside("a")) == one, "where it stands does not matter"
