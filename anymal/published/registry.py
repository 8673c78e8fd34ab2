"""The one table of classes of published models that can be imported, by `architectures[0]`."""

from anymal.published.base import Importer
from anymal.published.blip2 import BLIP2
from anymal.published.fuyu import FUYU
from anymal.published.idefics import IDEFICS
from anymal.published.idefics3 import IDEFICS3
from anymal.published.instructblip import INSTRUCTBLIP
from anymal.published.internvl import INTERNVL
from anymal.published.kosmos2 import KOSMOS2
from anymal.published.llava import LLAVA
from anymal.published.llava_next import LLAVA_NEXT
from anymal.published.llava_original import LLAVA_ORIGINAL
from anymal.published.qwen2_audio import QWEN2_AUDIO
from anymal.published.ultravox import ULTRAVOX
from anymal.published.vipllava import VIPLLAVA
from anymal.published.voxtral import VOXTRAL

IMPORTERS: dict[str, Importer] = {
    each.class_name: each
    for each in (
        LLAVA,
        LLAVA_ORIGINAL,
        LLAVA_NEXT,
        VIPLLAVA,
        BLIP2,
        KOSMOS2,
        INSTRUCTBLIP,
        FUYU,
        INTERNVL,
        IDEFICS,
        IDEFICS3,
        QWEN2_AUDIO,
        ULTRAVOX,
        VOXTRAL,
    )
}
