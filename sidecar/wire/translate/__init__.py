"""
From any of the three formats to any other: requests, whole answers, errors. Pure functions of bytes.

    client's body ─▶ readers.<format> ─▶ Ask ─▶ writers.<format> ─▶ provider's body
    client's body ◀─ answers.<format> ◀─ Answer ◀─ answers.<format> ◀─ provider's body

Each format has one reader into and one writer out of the neutral form (`neutral`), so that no pair has code of its own.
A body that stays in its format is none of our business: its bytes pass through. `streams` does the same for streams.

What is carried arrives as it was; mapped, in other words; dropped, not at all, and `TranslatedRequest.dropped` says so;
refused, with 400 `unsupported_field`, because the answer would mean something else without it. A test walks these
tables, row by row, and checks that they name every field of the official SDKs. "OpenAI's own" are models with OpenAI's
names (`dialect`); what nobody here knows is dropped.

Sources: https://platform.openai.com/docs/api-reference/chat/create, https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/api-reference/responses/create

CHAT COMPLETIONS, A CLIENT'S FIELD   | TO MESSAGES                                  | TO RESPONSES
model                                | mapped: the provider's name                  | mapped: the provider's name
messages                             | mapped: `messages` and `system`              | mapped: `input` and `instructions`
messages[].name                      | dropped                                      | dropped
messages[].reasoning_content         | dropped: unsigned                            | dropped: unsigned
messages[] of a tool or function     | mapped: tool_result                          | mapped: function_call_output
messages[].tool_calls                | mapped: tool_use                             | mapped: function_call
messages[].function_call             | mapped: tool_use                             | mapped: function_call
messages[].refusal                   | mapped: text                                 | mapped: text
messages[].audio                     | refused                                      | refused
image_url                            | mapped: image                                | mapped: input_image
messages[].content[].image_url.detail | dropped                                     | carried
file with file_data                  | mapped: document; PDF only                   | mapped: input_file
file with file_id                    | refused                                      | refused
input_audio                          | refused                                      | refused
tools                                | mapped: input_schema                         | mapped: flat
tools, custom                        | mapped: a function of one text, see `names`  | mapped: flat
functions                            | mapped: as tools                             | mapped: as tools
tool_choice                          | mapped: auto, any, none, tool                | carried
tool_choice, allowed_tools           | mapped: a shorter list of tools              | mapped: a shorter list of tools
function_call                        | mapped: as tool_choice                       | mapped: as tool_choice
parallel_tool_calls                  | mapped: disable_parallel_tool_use            | carried
max_completion_tokens                | mapped: max_tokens; default_max_tokens       | mapped: max_output_tokens, at least 16
max_tokens                           | carried: up to what the model has            | mapped: max_output_tokens, at least 16
temperature                          | mapped: at most 1; dropped from 4.7 on and with thinking | carried
top_p                                | carried: without temperature, as that        | carried
stop                                 | mapped: stop_sequences; blank ones refused   | refused
response_format                      | mapped: output_config.format; or in words    | mapped: text.format
reasoning_effort                     | mapped: thinking, see `effort`               | mapped: reasoning.effort, where taken
user                                 | mapped: metadata.user_id                     | mapped: safety_identifier, up to 64 characters
safety_identifier                    | mapped: metadata.user_id                     | carried
stream                               | carried                                      | carried
stream_options                       | mapped: TranslatedRequest.include_usage      | mapped: TranslatedRequest.include_usage
logprobs                             | dropped                                      | mapped: include
top_logprobs                         | dropped                                      | carried
metadata                             | dropped                                      | carried
service_tier                         | dropped                                      | carried
verbosity                            | dropped                                      | mapped: text.verbosity
prompt_cache_key                     | dropped                                      | carried
prompt_cache_retention               | dropped                                      | carried
prompt_cache_options                 | dropped                                      | dropped
n                                    | refused: more than 1                         | refused: more than 1
modalities                           | refused: audio                               | refused: audio
web_search_options                   | refused                                      | refused
audio                                | dropped                                      | dropped
frequency_penalty                    | dropped                                      | dropped
presence_penalty                     | dropped                                      | dropped
logit_bias                           | dropped                                      | dropped
seed                                 | dropped                                      | dropped
store                                | dropped                                      | dropped
prediction                           | dropped                                      | dropped
moderation                           | dropped                                      | dropped

MESSAGES, A CLIENT'S FIELD           | TO CHAT COMPLETIONS                          | TO RESPONSES
model                                | mapped: the provider's name                  | mapped: the provider's name
messages                             | mapped: `messages`                           | mapped: `input`
messages[] of the system             | mapped: in place for OpenAI's own, else <system> as the user's | mapped: the role developer, in place
system                               | mapped: the role system                      | mapped: instructions
image                                | mapped: image_url                            | mapped: input_image
image with file_id                   | refused                                      | refused
document                             | mapped: file; one at a URL is refused        | mapped: input_file
document of text                     | mapped: text                                 | mapped: text
tool_use                             | mapped: tool_calls                           | mapped: function_call
tool_result                          | mapped: the role tool; images, as the user's | mapped: function_call_output
tool_result, is_error                | mapped: "Error: "                            | mapped: "Error: "
messages[].content[]                 | dropped: server_tool_use and its results     | dropped: server_tool_use and its results
thinking blocks                      | mapped: reasoning_content, where wanted; else dropped | mapped: OpenAI's own, see `seals`; else dropped
messages[].content[].cache_control   | dropped                                      | dropped
messages[].output_config             | dropped                                      | dropped
cache_control                        | dropped                                      | dropped
max_tokens                           | mapped: or max_completion_tokens             | mapped: max_output_tokens, at least 16
temperature                          | carried                                      | carried
top_p                                | carried                                      | carried
top_k                                | dropped                                      | dropped
stop_sequences                       | mapped: stop                                 | refused
tools                                | mapped: function                             | mapped: flat
tools, hosted                        | refused: dropped beside the client's own     | refused: dropped beside the client's own
tools[].cache_control                | dropped                                      | dropped
tool_choice                          | mapped: auto, required, none, function       | mapped: auto, required, none, function
tool_choice.disable_parallel_tool_use | mapped: parallel_tool_calls                 | mapped: parallel_tool_calls
thinking                             | mapped: reasoning_effort, where taken        | mapped: reasoning.effort, where taken
thinking.display                     | dropped                                      | mapped: reasoning.summary
output_config                        | mapped: reasoning_effort, response_format    | mapped: reasoning.effort, text.format
output_format                        | mapped: response_format                      | mapped: text.format
metadata                             | mapped: user, up to 64 characters            | mapped: safety_identifier, up to 64 characters
stream                               | carried: asks for the usage, if it may       | carried
container                            | refused                                      | refused
mcp_servers                          | refused                                      | refused
context_management                   | dropped                                      | dropped
service_tier                         | dropped                                      | dropped
inference_geo                        | dropped                                      | dropped
speed                                | dropped                                      | dropped
diagnostics                          | dropped                                      | dropped
user_profile_id                      | dropped                                      | dropped
workspace_id                         | dropped                                      | dropped

RESPONSES, A CLIENT'S FIELD          | TO CHAT COMPLETIONS                          | TO MESSAGES
model                                | mapped: the provider's name                  | mapped: the provider's name
input                                | mapped: messages                             | mapped: messages
instructions                         | mapped: the role system                      | mapped: system
input[] of a developer, later        | mapped: in place for OpenAI's own, else <system> as the user's | mapped: <system> in the user's message
input_image                          | mapped: image_url                            | mapped: image
input_image with file_id             | refused                                      | refused
input_file with file_data            | mapped: file                                 | mapped: document; PDF only
input_file with file_url             | refused                                      | mapped: document
function_call                        | mapped: tool_calls                           | mapped: tool_use; broken JSON as {"arguments"}
function_call_output                 | mapped: the role tool; images, as the user's | mapped: tool_result
custom_tool_call                     | mapped: as a function, see `names`           | mapped: as a function, see `names`
reasoning items                      | mapped: reasoning_content, where wanted; else dropped | mapped: Anthropic's own, see `seals`; else dropped
additional_tools                     | mapped: as tools                             | mapped: as tools
input[]                              | dropped: what hosted tools did               | dropped: what hosted tools did
item_reference                       | refused                                      | refused
compaction                           | refused                                      | refused
tools                                | mapped: function                             | mapped: input_schema
tools, namespace                     | mapped: name__ns__name, see `names`          | mapped: name__ns__name, see `names`
tools, custom                        | mapped: a function of one text, see `names`  | mapped: a function of one text, see `names`
tools, hosted                        | refused: dropped beside the client's own     | refused: dropped beside the client's own
tool_choice                          | carried                                      | mapped: auto, any, none, tool
parallel_tool_calls                  | carried                                      | mapped: disable_parallel_tool_use
max_output_tokens                    | mapped: or max_completion_tokens             | mapped: max_tokens; default_max_tokens
temperature                          | carried                                      | mapped: at most 1; dropped from 4.7 on and with thinking
top_p                                | carried                                      | carried: without temperature, as that
text                                 | mapped: response_format, verbosity           | mapped: output_config.format
text.verbosity                       | carried: to OpenAI's own                     | dropped
reasoning                            | mapped: reasoning_effort                     | mapped: thinking, see `effort`
reasoning.summary                    | dropped                                      | mapped: thinking.display, from 4.6 on
user                                 | carried: up to 64 characters                 | mapped: metadata.user_id
safety_identifier                    | mapped: user, up to 64 characters            | mapped: metadata.user_id
stream                               | carried: asks for the usage, if it may       | carried
stream_options                       | dropped                                      | dropped
include                              | mapped: logprobs                             | dropped
top_logprobs                         | carried                                      | dropped
metadata                             | dropped                                      | dropped
service_tier                         | carried: to OpenAI's own                     | dropped
prompt_cache_key                     | carried: to OpenAI's own                     | dropped
prompt_cache_retention               | carried: to OpenAI's own                     | dropped
prompt_cache_options                 | dropped                                      | dropped
previous_response_id                 | refused                                      | refused
conversation                         | refused                                      | refused
background                           | refused                                      | refused
prompt                               | refused                                      | refused
store                                | dropped                                      | dropped
truncation                           | dropped                                      | dropped
max_tool_calls                       | dropped                                      | dropped
context_management                   | dropped                                      | dropped
background_options                   | dropped                                      | dropped
access_programs                      | dropped                                      | dropped
moderation                           | dropped                                      | dropped
image                                | dropped                                      | dropped
client_metadata                      | dropped                                      | dropped

AN ANSWER'S  | CHAT COMPLETIONS                                  | MESSAGES                            | RESPONSES
text         | choices[].message.content                         | content[].text                      | output[].content[].text
thinking     | choices[].message.reasoning_content               | content[].thinking                  | output[].summary[].text
seal         | -                                                 | content[].signature                 | output[].encrypted_content
call         | choices[].message.tool_calls[].function.name      | content[].name                      | output[].name
arguments    | choices[].message.tool_calls[].function.arguments | content[].input                     | output[].arguments
refusal      | choices[].message.refusal                         | content[].text                      | output[].content[].refusal
logprobs     | choices[].logprobs.content[].token                | -                                   | output[].content[].logprobs[].token
stop         | choices[].finish_reason                           | stop_reason                         | status
input        | usage.prompt_tokens                               | usage.input_tokens                  | usage.input_tokens
cache read   | usage.prompt_tokens_details.cached_tokens         | usage.cache_read_input_tokens       | usage.input_tokens_details.cached_tokens
cache write  | usage.prompt_tokens_details.cache_write_tokens    | usage.cache_creation_input_tokens   | usage.input_tokens_details.cache_write_tokens
output       | usage.completion_tokens                           | usage.output_tokens                 | usage.output_tokens
reasoning    | usage.completion_tokens_details.reasoning_tokens  | usage.output_tokens_details.thinking_tokens | usage.output_tokens_details.reasoning_tokens

Of the reasons to stop: end is stop, end_turn, completed; a stop sequence, which only Anthropic tells, and `pause_turn`
count as the end; length is length, max_tokens or model_context_window_exceeded, incomplete for max_output_tokens; tools
is tool_calls, tool_use, completed; refused is content_filter, refusal, incomplete for content_filter. Dropped from
answers: citations and annotations, audio, choices other than the first, what hosted tools did.

An error keeps its message; its type and code as `errors` says.
"""

from sidecar.wire.translate.bodies import TranslatedRequest, answer, request
from sidecar.wire.translate.errors import error
from sidecar.wire.translate.failures import FailedAnswer, NotAnAnswer, UnsupportedField
from sidecar.wire.translate.neutral import Ids

__all__ = [
    "FailedAnswer",
    "Ids",
    "NotAnAnswer",
    "TranslatedRequest",
    "UnsupportedField",
    "answer",
    "error",
    "request",
]
