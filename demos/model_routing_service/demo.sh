#!/usr/bin/env bash
# The routing decision API, one call per feature, each with the answer it must give. No keys, no network, no GPU.
#
#   ./demos/model_routing_service/demo.sh                              starts a sidecar of its own and stops it again
#   SIDECAR_URL=http://127.0.0.1:12000 ./demos/model_routing_service/demo.sh      uses one that runs already
#
# Exits 0 when every answer is as expected, 1 when one is not, 2 when there is no sidecar.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

wrong=0

# call TITLE STATUS EXPECTED PATH BODY [CURL OPTION…]: one POST; the answer must be EXPECTED, its trace id aside.
call() {
    local title=$1 status=$2 expected=$3 path=$4 body=$5
    shift 5
    local answer
    answer=$(curl --silent --show-error --max-time 10 --write-out '\n%{http_code}' "$SIDECAR_URL/routing/v1/$path" \
        --header 'content-type: application/json' "$@" --data "$body") || {
        echo "No sidecar at $SIDECAR_URL" >&2
        exit 2
    }
    printf "\n── %s\n$ curl \$SIDECAR_URL/routing/v1/%s -H 'content-type: application/json'%s -d '%s'\n" \
        "$title" "$path" "${*:+ ${*@Q}}" "$body"
    printf '%s\n' "$answer"
    answer=$(sed 's/,"trace_id":"[0-9a-f]\{32\}"}$/}/' <<<"$answer")
    if [ "$answer" != "$expected"$'\n'"$status" ]; then
        printf '✗ expected %s\n%s\n' "$status" "$expected"
        wrong=1
    fi
}

[ -n "${SIDECAR_URL:-}" ] || start_sidecar "$(python_with_sidecar)" "$here/config.yaml"

session="demo-$$-$RANDOM"
claude='"model":"anthropic/claude-sonnet-4-20250514","models":["anthropic/claude-sonnet-4-20250514","openai/gpt-4o"],"route":"code_generation"'
gpt='"model":"openai/gpt-4o","models":["openai/gpt-4o","openai/gpt-4o-mini"],"route":"complex_reasoning"'
mini='"model":"openai/gpt-4o-mini","models":["openai/gpt-4o-mini"],"route":null'

call '1. Writing code is one route …' \
    200 "{$claude,\"pinned\":false,\"reason\":\"routed\"}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Write a Python function that implements binary search"}]}'

call '2. … and weighing options is another' \
    200 "{$gpt,\"pinned\":false,\"reason\":\"routed\"}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Explain the trade-offs between microservices and a monolith, step by step"}]}'

call '3. What matches no route goes to the model that was asked for; its alias is resolved' \
    200 "{$mini,\"pinned\":false,\"reason\":\"no_match\"}" \
    chat/completions '{"model":"fast","messages":[{"role":"user","content":"What is the capital of France?"}]}'

call '4. The same in the format of Anthropic Messages' \
    200 "{$claude,\"pinned\":false,\"reason\":\"routed\"}" \
    messages '{"model":"gpt-4o-mini","max_tokens":1024,"system":"You are a senior engineer.","messages":[{"role":"user","content":[{"type":"text","text":"Create a REST endpoint in Rust that registers a user"}]}]}'

call '5. The same in the format of OpenAI Responses' \
    200 "{$gpt,\"pinned\":false,\"reason\":\"routed\"}" \
    responses '{"model":"gpt-4o-mini","input":"Analyze the long-term consequences of moving our database to another region"}'

call '6. Routes that come with the request count for that request' \
    200 '{"model":"openai/gpt-4o","models":["openai/gpt-4o"],"route":"sql","pinned":false,"reason":"routed"}' \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Write a SQL query that lists overdue tasks"}],"routing_preferences":[{"name":"sql","description":"writing SQL queries","models":["openai/gpt-4o"]},{"name":"poetry","description":"writing poems","models":["openai/gpt-4o-mini"]}]}'

call '7. The first call of a session is routed and pinned …' \
    200 "{$claude,\"pinned\":false,\"reason\":\"routed\",\"session_id\":\"$session\",\"expires_in\":600}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Write a Python function that merges two sorted lists"}]}' \
    --header "X-Session-Id: $session"

call '8. … and the second keeps its model, whatever it is about' \
    200 "{$claude,\"pinned\":true,\"reason\":\"pinned\",\"session_id\":\"$session\",\"expires_in\":600}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Explain the trade-offs between its time and its memory"}]}' \
    --header "X-Session-Id: $session"

call '9. Another session is another matter' \
    200 "{$gpt,\"pinned\":false,\"reason\":\"routed\",\"session_id\":\"$session-b\",\"expires_in\":600}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Explain the trade-offs between its time and its memory"}]}' \
    --header "X-Session-Id: $session-b"

call '10. A refresh routes the session anew and pins it to the outcome' \
    200 "{$gpt,\"pinned\":false,\"reason\":\"routed\",\"session_id\":\"$session\",\"expires_in\":600}" \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Analyze the trade-offs between SQL and NoSQL databases"}]}' \
    --header "X-Session-Id: $session" --header 'x-sidecar-pin: refresh'

call '11. Bad input is refused, with the place of the mistake' \
    400 '{"error":{"message":"messages[0].role: Expected str, got int","type":"invalid_request_error","param":"messages[0].role","code":"invalid_request"}}' \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":7,"content":"hello"}]}'

call '12. … in the shape the client knows' \
    400 '{"type":"error","error":{"type":"invalid_request_error","message":"messages must not be empty"}}' \
    messages '{"model":"gpt-4o-mini","max_tokens":1024,"messages":[]}'

call '13. A session id is 1 to 256 visible ASCII characters' \
    400 '{"error":{"message":"x-session-id must be 1 to 256 visible ASCII characters, got 7 characters of other kinds","type":"invalid_request_error","param":"x-session-id","code":"invalid_session_id"}}' \
    chat/completions '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}' \
    --header 'X-Session-Id: not one'

echo
[ "$wrong" = 0 ] && echo '✓ All 13 answers are as expected' || echo '✗ Some answers are not as expected'
exit "$wrong"
