"""Answers: a provider's body becomes a neutral Answer, and an Answer the client's body. One file per format."""

from sidecar.wire.formats import Format
from sidecar.wire.translate.answers import chat, messages, responses

READ = {Format.CHAT: chat.read, Format.MESSAGES: messages.read, Format.RESPONSES: responses.read}
WRITE = {Format.CHAT: chat.write, Format.MESSAGES: messages.write, Format.RESPONSES: responses.write}
