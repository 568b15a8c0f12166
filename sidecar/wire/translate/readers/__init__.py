"""Requests in: a client's body, of one format, becomes a neutral Ask."""

from sidecar.wire.formats import Format
from sidecar.wire.translate.readers import chat, messages, responses

READ = {Format.CHAT: chat.read, Format.MESSAGES: messages.read, Format.RESPONSES: responses.read}
