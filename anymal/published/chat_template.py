"""The prompt format of a bundle as one Jinja template, for programs that read an export.

Does not render it. A bundle tells its markup from words, whatever they hold, and writes media where
its recipe says; a chat template of transformers does neither, and gets whole messages.
"""

import json
from collections.abc import Mapping

from anymal.chat.shipped import format_source
from anymal.errors import BundleError
from anymal.recipe.schema import ModelRecipe

_OWN = "tokenizer"
# Formats take contents as strings, and others send lists of parts. Outer white space is dropped, as
# `anymal.chat.segments.trimmed` does.
_AS_STRINGS = """\
{%- set talk = namespace(messages=[], media=[], words=[]) -%}
{%- set end_of_answer = '' -%}
{%- for message in messages -%}
  {%- set held = namespace(all='', media='', words='') -%}
  {%- if message.content is string -%}
    {%- set held.all = message.content | trim -%}
    {%- set held.words = held.all -%}
  {%- else -%}
    {%- for part in PARTS -%}
      {%- if part.type == 'text' -%}
        {%- set text = part.text.lstrip() if loop.first else part.text -%}
        {%- set held.all = held.all ~ (text.rstrip() if loop.last else text) -%}
        {%- set held.words = held.words ~ part.text -%}
MEDIA      {%- else -%}
        {{- raise_exception('there is no place for a part of type ' ~ part.type) -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {%- set talk.messages = talk.messages + [{'role': message.role, 'content': held.all}] -%}
  {%- set talk.media = talk.media + [held.media] -%}
  {%- set talk.words = talk.words + [held.words | trim] -%}
{%- endfor -%}
{%- set messages = talk.messages -%}
{%- set media = talk.media -%}
{%- set words = talk.words -%}
"""
_MEDIUM = """\
      {%- elif part.type == 'TYPE' -%}
        {%- set held.all = held.all ~ WRITTEN -%}
        {%- set held.media = held.media ~ WRITTEN -%}
"""
_AS_GIVEN = "message.content"
_MEDIA_FIRST = (
    "(message.content | rejectattr('type', 'equalto', 'text') | list"
    " + message.content | selectattr('type', 'equalto', 'text') | list)"
)


def chat_template(recipe: ModelRecipe, own: str, *, tokens: Mapping[str, str]) -> str:
    """Write a bundle's prompt format as a chat template.

    Args:
        recipe: Of the bundle.
        own: The chat template of its tokeniser, which stays as it is where it is the format and
            media have none or the same text in it.
        tokens: What the reader replaces by a medium, by modality; none for words alone.

    Returns:
        Jinja.

    Raises:
        BundleError: The tokeniser's template writes media otherwise.
    """
    markers = recipe.llm.markers or {}
    written = {
        name: recipe.modalities[name].prefix + token + recipe.modalities[name].suffix
        for name, token in tokens.items()
    }
    if recipe.llm.template == _OWN and (markers or not tokens):
        for name, text in written.items():
            if markers.get(name) != text:
                raise BundleError(
                    f"the chat template of the tokeniser writes {markers.get(name)!r} for media "
                    f"of kind {name}, and modalities.{name} makes {text!r} of that with its "
                    "prefix and suffix, which no chat template here says; leave both empty"
                )
        return own
    source = own if recipe.llm.template == _OWN else format_source(recipe.llm.template)
    media = "".join(
        _MEDIUM.replace("TYPE", name).replace("WRITTEN", json.dumps(text))
        for name, text in written.items()
    )
    parts = _MEDIA_FIRST if recipe.media_first else _AS_GIVEN
    return _AS_STRINGS.replace("PARTS", parts).replace("MEDIA", media) + source
