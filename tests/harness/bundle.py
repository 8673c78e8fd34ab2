"""Fuzzes the reader of bundles: one file of a small whole bundle is a stranger's.

    python -m tests.harness.bundle --seconds 600 [--seed 1] [--replay FILE]

The first byte of an input says which file, the others are what it holds. A file of weights keeps
its own bytes behind them: headers are what can be wrong. Every input passes the checks before a
model is built; one in four, and what a tokeniser reads, is loaded whole, which takes 50 times as
long. Asks no Hub and computes no answers.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tests.harness.guided import LONGEST_INPUT, Harness, main

LOADED_ONE_IN = 4
SPECIALS = ((0, "<s>"), (1, "</s>"), (2, "<|im_end|>"))
TEMPLATES = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}"
    "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{% generation %}"
    "{{ m.content }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}",
    "{%- macro say(x, n=2) -%}{{ x | tojson }}{%- endmacro -%}{% set ns = namespace(i=0) %}"
    "{% for m in messages %}{% if loop.first %}{{ strftime_now('%d %b %Y') }}{% endif %}"
    "{{ say(m.content[:3] ~ 'a' * 9) }}{% if m.content in ns %}{% break %}{% endif %}{% endfor %}",
)


def seeds(folder: Path) -> list[bytes]:
    """Every file of a bundle, which is left in the folder, and chat templates."""
    import torch

    from anymal.assemble import build
    from anymal.bundle.save import save_bundle
    from anymal.recipe.schema import ModelRecipe
    from tests import tiny

    if not (folder / "bundle").exists():
        torch.manual_seed(3)
        checkpoints = tiny.save_checkpoints(folder / "checkpoints")
        section = tiny.model_section(checkpoints, lora={"r": 2}, embed=True)
        save_bundle(build(ModelRecipe.model_validate(section)), folder / "bundle")
    names = files(folder / "bundle")
    made = [bytes([place]) + (folder / "bundle" / name).read_bytes() for place, name in names]
    templates = [bytes([len(names)]) + text.encode() for text in TEMPLATES]
    return [data[:LONGEST_INPUT] for data in made] + templates


def files(bundle: Path) -> list[tuple[int, str]]:
    """The names of a bundle's files, with the first bytes of inputs that mean them."""
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    return list(enumerate(str(path.relative_to(bundle)) for path in paths))


def prepare(folder: Path) -> Callable[[bytes], str]:
    """Puts one file into the bundle, loads it, and puts the bundle's own back."""
    import torch

    from anymal.bundle.aligner_sizes import check_aligner_sizes
    from anymal.bundle.imports import check_imports
    from anymal.bundle.load import describe, load_bundle
    from anymal.bundle.manifest import read_weights
    from anymal.bundle.parts import NOTHING_ELSE, with_local_parts
    from anymal.chat.jinja import read_jinja

    torch.set_num_threads(1)
    bundle = (folder / "bundle").resolve()
    names = [name for _, name in files(bundle)]
    whole = {name: (bundle / name).read_bytes() for name in names}

    def template(data: bytes) -> str:
        tokens = {number: SimpleNamespace(content=text, special=True) for number, text in SPECIALS}
        source = data.decode("utf-8", errors="replace")
        tokenizer = SimpleNamespace(
            chat_template=source,
            get_chat_template=lambda: source,
            special_tokens_map={"bos_token": "<s>", "eos_token": "</s>"},
            added_tokens_decoder=tokens,
        )
        read_jinja(tokenizer)
        return "template"

    def checked(name: str) -> None:
        manifest = describe(bundle)
        check_imports(manifest.recipe)
        with_local_parts(manifest.recipe, bundle, NOTHING_ELSE)
        check_aligner_sizes(manifest, bundle)
        if name.endswith(".safetensors"):
            read_weights(bundle / name)

    def run(data: bytes) -> str:
        place, content = data[0] % (len(names) + 1) if data else 0, data[1:]
        if place == len(names):
            return template(content)
        name = names[place]
        if name.endswith(".safetensors"):
            content += whole[name][len(content) :]
        (bundle / name).write_bytes(content)
        try:
            checked(name)
            if "token" in name or zlib.crc32(data) % LOADED_ONE_IN == 0:
                load_bundle(bundle, reach=NOTHING_ELSE)
        finally:
            (bundle / name).write_bytes(whole[name])
        return Path(name).name

    return run


if __name__ == "__main__":
    main(Harness(module="tests.harness.bundle", seeds=seeds, prepare=prepare, seconds=4.0))
