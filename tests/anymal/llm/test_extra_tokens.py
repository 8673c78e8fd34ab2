"""Extra tokens against a resized table whose new rows were written by hand; the table stays."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.extra_tokens import new_extra_tokens, with_words
from anymal.llm.load import load_llm
from anymal.llm.lora import LoraOptions
from anymal.llm.merge_lora import merge
from anymal.llm.plain import plain_model
from tests.tiny import save_llm

EITHER = pytest.mark.parametrize("are_tied", [pytest.param(False, marks=pytest.mark.slow), True])
WORDS = ["<image>", "<|endofchunk|>"]


@pytest.fixture(scope="module")
def folders(
    checkpoints: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, str]:
    """Checkpoints by whether their output head is the table.

    Where it is, the table has a row for each word; elsewhere it has some to spare.
    """
    num_words = len(AutoTokenizer.from_pretrained(checkpoints.llm))
    folder = tmp_path_factory.mktemp("tied") / "llm"
    tied = save_llm(folder, vocab_size=num_words, tie_word_embeddings=True)
    return {False: str(checkpoints.llm), True: str(tied)}


def with_extra(
    path: str, precision: Any = "fp32", words: list[str] = WORDS, lora: LoraOptions | None = None
) -> LLM:
    llm = load_llm(path, precision=precision, lora=lora)
    tokenizer = with_words(llm.own_tokenizer, words)
    extra = new_extra_tokens(llm.model, tokenizer, words, num_known=len(llm.own_tokenizer))
    llm.use_extra_tokens(extra, tokenizer)
    return llm


def resized(llm: LLM, path: str) -> Any:
    """The class of transformers with a longer table, its new rows ours."""
    extra = llm.extra
    assert extra is not None
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    model.resize_token_embeddings(llm.vocab_size, mean_resizing=False)
    model.get_input_embeddings().weight.data[own_ids(llm)] = extra.rows
    if extra.head_rows is not None:
        model.get_output_embeddings().weight.data[own_ids(llm)] = extra.head_rows
    return model.eval()


def own_ids(llm: LLM) -> list[int]:
    """The ids of `WORDS`: behind all that the tokeniser knew."""
    first = len(llm.own_tokenizer)
    assert llm.tokenizer.convert_tokens_to_ids(WORDS) == [first, first + 1]
    return [first, first + 1]


def sentence(llm: LLM) -> torch.Tensor:
    image, end = own_ids(llm)
    return torch.tensor([[5, image, 9, end, 40, image, 7]])


def logits_of(llm: LLM, ids: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(ids.shape[1])[None]
    return llm.head(llm.decode(llm.embed(ids[0])[None], positions=positions)[0])


@EITHER
def test_they_compute_what_a_resized_table_does(folders: dict[bool, str], are_tied: bool) -> None:
    llm = with_extra(folders[are_tied])
    extra = llm.extra
    assert extra is not None
    for rows in extra.parameters():
        torch.nn.init.normal_(rows, std=0.1)
    assert (extra.head_rows is None) == are_tied
    assert llm.vocab_size == (len(llm.own_tokenizer) + 2 if are_tied else 320)
    model, ids = resized(llm, folders[are_tied]), sentence(llm)
    ours, theirs = logits_of(llm, ids), model(input_ids=ids).logits[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for logits in (ours, theirs):
        loss: Any = F.cross_entropy(logits[:-1], ids[0, 1:])
        loss.backward()
    table = model.get_input_embeddings().weight.grad[own_ids(llm)]
    torch.testing.assert_close(extra.rows.grad, table, atol=1e-6, rtol=1e-4)
    if extra.head_rows is not None:
        head = model.get_output_embeddings().weight.grad[own_ids(llm)]
        torch.testing.assert_close(extra.head_rows.grad, head, atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        merged = merge(llm, precision="fp32")
        torch.testing.assert_close(logits_of(merged, ids), ours, atol=1e-5, rtol=1e-5)
        plain = plain_model(merged, dtype=torch.float32)
    assert plain.config.vocab_size == llm.vocab_size
    for name, tensor in model.state_dict().items():
        assert torch.equal(plain.state_dict()[name], tensor), name


@EITHER
def test_they_train_beside_a_4_bit_model_that_stays(
    folders: dict[bool, str], are_tied: bool
) -> None:
    llm = with_extra(folders[are_tied], "nf4")
    extra = llm.extra
    assert extra is not None
    before = {name: tensor.clone() for name, tensor in llm.model.state_dict().items()}
    rows = [parameter.detach().clone() for parameter in extra.parameters()]
    optimiser = torch.optim.AdamW(extra.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss: Any = F.cross_entropy(logits_of(llm, sentence(llm))[:-1], sentence(llm)[0, 1:])
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    assert losses[2] < losses[0]
    assert all((new != old).any(1).all() for new, old in zip(extra.parameters(), rows, strict=True))
    after = llm.model.state_dict()
    assert [name for name, tensor in before.items() if not torch.equal(tensor, after[name])] == []


@EITHER
def test_new_words_are_not_drawn_before_they_train(
    folders: dict[bool, str], are_tied: bool
) -> None:
    llm = with_extra(folders[are_tied])
    with torch.no_grad():
        chances = logits_of(llm, torch.arange(3, 250)[None]).softmax(-1)
    first = len(llm.own_tokenizer)
    assert float(chances[:, own_ids(llm)].max()) <= 1 / first  # exp(mean) <= mean(exp)
    assert not set(chances.argmax(-1).tolist()) & set(own_ids(llm))


def test_a_known_word_keeps_its_id_and_row(folders: dict[bool, str]) -> None:
    llm, plain = (
        with_extra(folders[False], words=["<|im_start|>"]),
        load_llm(folders[False], precision="fp32"),
    )
    assert llm.vocab_size == 320
    ids = torch.tensor([[5, llm.tokenizer.convert_tokens_to_ids("<|im_start|>"), 9]])
    with torch.no_grad():
        torch.testing.assert_close(logits_of(llm, ids), logits_of(plain, ids))


def test_words_that_cannot_be_tokens_are_refused(folders: dict[bool, str]) -> None:
    with pytest.raises(RecipeError, match="each once"):
        with_extra(folders[False], words=["<a>", "<a>"])
    with pytest.raises(RecipeError, match="each once"):
        with_extra(folders[False], words=[" "])


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_they_are_written_to_a_head_that_lora_parted_from_its_table(
    folders: dict[bool, str],
) -> None:
    llm = with_extra(folders[True], lora=LoraOptions(r=2, targets=["embed_tokens"]))
    assert llm.extra is not None
    for weights in (*llm.extra.parameters(), *llm.lora_parameters().values()):
        torch.nn.init.normal_(weights, std=0.1)
    llm.use_lora(True)
    ids = sentence(llm)
    with torch.no_grad():
        ours = logits_of(llm, ids)
        plain = plain_model(llm, dtype=torch.float32)
    rows, own = plain.get_output_embeddings().weight, own_ids(llm)
    assert not plain.config.tie_word_embeddings
    assert torch.equal(rows[own], llm.extra.rows)
    assert torch.equal(plain.get_input_embeddings().weight[own], llm.extra.rows)
    assert ours.shape[1] == len(rows)
