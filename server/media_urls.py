"""The URLs of a conversation's media, and a conversation with other ones in their place.

Does not read what they lead to: `remote_media` and `local_media` do.
"""

from collections.abc import Collection, Mapping

from anymal.protocol.conversation import Conversation, Message


def media_urls(conversation: Conversation, schemes: Collection[str]) -> dict[str, str]:
    """The URLs of some schemes, each with its first place, such as `messages.0.content.2`."""
    places: dict[str, str] = {}
    for index, message in enumerate(conversation.messages):
        for number, part in message.media.items():
            url = getattr(getattr(part, part.type), "url", None)
            if url is not None and url.partition(":")[0].strip().lower() in schemes:
                places.setdefault(url, f"messages.{index}.content.{number}")
    return places


def with_urls(conversation: Conversation, found: Mapping[str, str]) -> Conversation:
    """The conversation with other URLs for those that were found."""
    messages = [_replaced(message, found) for message in conversation.messages]
    return conversation.model_copy(update={"messages": messages})


def _replaced(message: Message, found: Mapping[str, str]) -> Message:
    """The message with other URLs for those that were found."""
    if isinstance(message.content, str):
        return message
    content = []
    for part in message.content:
        body = getattr(part, part.type)
        url = getattr(body, "url", None)
        if url is not None and url in found:
            body = body.model_copy(update={"url": found[url]})
            part = part.model_copy(update={part.type: body})
        content.append(part)
    return message.model_copy(update={"content": content})
