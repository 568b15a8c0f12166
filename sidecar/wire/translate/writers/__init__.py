"""Requests out: a neutral Ask becomes the body of a request to a provider."""

from sidecar.wire.formats import Format
from sidecar.wire.translate.writers import chat, messages, responses

WRITE = {Format.CHAT: chat.write, Format.MESSAGES: messages.write, Format.RESPONSES: responses.write}
