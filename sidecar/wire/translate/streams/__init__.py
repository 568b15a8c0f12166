"""
A provider's stream -> the client's stream, while it runs: bytes of events in, bytes of events out. No I/O, no clock.

    provider's bytes ─▶ sse.EventParser ─▶ reader of its format ─▶ neutral events ─▶ writer of the client's ─▶ bytes
                                             └── PartQueue: one part after the other

One reader and one writer per format, and between them the events of `events`: three formats cost six classes, not nine
translators. `translator.StreamTranslator` puts them together. `tap.UsageTap` reads usage, model and end off the passing
bytes, translated or not; where they are not, `extra.UsageFilter` takes out the usage chunk that only we asked for.

What becomes of what (`-` has no place there and is dropped):

    neutral           chat completions            messages                         responses
    text              delta.content               text block, text_delta           message item, output_text.delta
    refusal           delta.refusal               text block, stop_reason refusal  message item, refusal.delta
    thinking          delta.reasoning_content     thinking block, thinking_delta   reasoning item, its summary
    seal              -                           signature, or redacted_thinking  the item's encrypted_content
    tool call         delta.tool_calls[index]     tool_use block                   function_call item
    custom tool call  the same, of type custom    tool_use block                   custom_tool_call item
    its arguments     function.arguments          input_json_delta                 function_call_arguments.delta
    end, tools        stop | tool_calls           end_turn | tool_use              response.completed
    sequence          stop                        stop_sequence                    response.completed
    length            length                      max_tokens                       response.incomplete
    refused           content_filter              refusal                          response.incomplete
    usage             the chunk without choices   message_start, message_delta     response.usage
    error             data: {"error": …}          event: error                     response.failed
    ping              -                           ping                             -

Read and dropped, whatever the target: log probabilities, citations and annotations, audio, choices other than the
first, hosted and server-side tool calls.
"""
