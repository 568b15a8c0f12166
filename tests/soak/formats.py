"""
Requests and answers in chat completions, messages and responses, as small as the formats allow; and the text back out of
an answer. Pure.

https://platform.openai.com/docs/api-reference/chat, https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/api-reference/responses
"""

import json

CHAT, MESSAGES, RESPONSES = "chat/completions", "messages", "responses"
FORMATS = (CHAT, MESSAGES, RESPONSES)
ENDS = {CHAT: b"data: [DONE]", MESSAGES: b'"message_stop"', RESPONSES: b'"response.completed"'}
"""What the last event of a whole stream holds."""

_FILLER = "def handler(request): return Response(status=200, body=render(request.path))\n"


def asking(form, prompt, *, stream=False, size=0, model="auto"):
    """A request's body; with `size`, earlier turns make it about so many bytes."""
    turns = [{"role": "user", "content": prompt}]
    if size:
        text = (_FILLER * (size // 20 // len(_FILLER) + 1))[: size // 20]
        turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n in range(20)] + turns
    said = {"model": model, "input" if form == RESPONSES else "messages": turns, "stream": stream}
    return _compact(said if form == RESPONSES else {**said, "max_tokens": 256})


# Answers


def whole(form, text, model):
    return _compact({CHAT: _chat, MESSAGES: _message, RESPONSES: _response}[form](text, model))


def events(form, pieces, model):
    """The events of a stream: one for each piece of the text, between those that the format has around them."""
    return list({CHAT: _chat_events, MESSAGES: _message_events, RESPONSES: _response_events}[form](pieces, model))


def _chat(text, model):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**head, "choices": [choice], "usage": usage}


def _chat_events(pieces, model):
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for piece in pieces:
        yield _event({**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield b"data: [DONE]\n\n"


def _message(text, model, **more):
    content = [{"type": "text", "text": text}] if text else []
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content}
    end = {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 9}}
    return {**said, **end, **more}


def _message_events(pieces, model):
    yield _typed("message_start", message=_message("", model, stop_reason=None))
    yield _typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in pieces:
        yield _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield _typed("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _typed("message_delta", delta=end, usage={"output_tokens": 9})
    yield _typed("message_stop")


def _item(text):
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _response(text, model, status="completed"):
    output = [_item(text)] if text else []
    usage = {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": model}
    return {**head, "output": output, "usage": usage}


def _response_events(pieces, model):
    text, where = "".join(pieces), {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": []}
    said = [("response.created", {"response": _response("", model, "in_progress")})]
    item = {**_item(""), "status": "in_progress", "content": []}
    said.append(("response.output_item.added", {"output_index": 0, "item": item}))
    said.append(("response.content_part.added", {**where, "part": empty}))
    said += [("response.output_text.delta", {**where, "delta": piece}) for piece in pieces]
    said.append(("response.output_text.done", {**where, "text": text}))
    said.append(("response.content_part.done", {**where, "part": {**empty, "text": text}}))
    said.append(("response.output_item.done", {"output_index": 0, "item": _item(text)}))
    said.append(("response.completed", {"response": _response(text, model)}))
    for number, (name, more) in enumerate(said):
        yield _typed(name, sequence_number=number, **more)


def _event(said):
    return b"data: " + _compact(said) + b"\n\n"


def _typed(name, **more):
    return b"event: " + name.encode() + b"\n" + _event({"type": name, **more})


def _compact(said):
    return json.dumps(said, separators=(",", ":")).encode()


# The text of an answer


def text_of(form, body):
    """Of a whole answer. Raises what JSON and its shape raise."""
    said = json.loads(body)
    if form == CHAT:
        return said["choices"][0]["message"]["content"]
    parts = said["content"] if form == MESSAGES else [part for item in said["output"] for part in item["content"]]
    return "".join(part["text"] for part in parts)


def streamed(form, body):
    """(text, whether the format's last event came, whether one told of an error) of a stream as far as it came."""
    texts, failed = [], False
    for line in body.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        try:
            said = json.loads(line[6:])
        except ValueError:  # cut in mid-event
            continue
        failed = failed or bool(said.get("error")) or said.get("type") in {"error", "response.failed"}
        texts.append(_delta(form, said))
    return "".join(texts), ENDS[form] in body, failed


def _delta(form, said):
    if form == CHAT:
        return "".join(choice["delta"].get("content") or "" for choice in said.get("choices") or ())
    if form == MESSAGES:
        return said.get("delta", {}).get("text", "") if said.get("type") == "content_block_delta" else ""
    return said["delta"] if said.get("type") == "response.output_text.delta" else ""
