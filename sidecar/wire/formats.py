"""The three client formats. The format of a request is told by its path, never by its headers or its body."""

from enum import StrEnum


class Format(StrEnum):
    """The value is the path below `/v1/` and `/routing/v1/`."""

    CHAT = "chat/completions"
    """OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat"""
    MESSAGES = "messages"
    """Anthropic Messages: https://docs.anthropic.com/en/api/messages"""
    RESPONSES = "responses"
    """OpenAI Responses: https://platform.openai.com/docs/api-reference/responses"""
