"""The one table of classes of published models that can be imported, by `architectures[0]`."""

from anymal.published.base import Importer
from anymal.published.fuyu import FUYU
from anymal.published.idefics3 import IDEFICS3
from anymal.published.internvl import INTERNVL
from anymal.published.llava import LLAVA
from anymal.published.llava_next import LLAVA_NEXT
from anymal.published.llava_original import LLAVA_ORIGINAL
from anymal.published.vipllava import VIPLLAVA

IMPORTERS: dict[str, Importer] = {
    each.class_name: each
    for each in (LLAVA, LLAVA_NEXT, LLAVA_ORIGINAL, VIPLLAVA, INTERNVL, IDEFICS3, FUYU)
}
