"""
The data plane: the only place that answers clients.

    http ─▶ door ─┬─▶ decisions          /routing/v1/*: the decision as JSON
                  ├─▶ proxy ──▶ relay    /v1/{chat/completions,messages,responses}: the decided model's answer
                  ├─▶ forward ─▶ relay   any other /v1/*: as it is, to a provider
                  └─▶ models             /v1/models: our own list

`incoming` is a request as all of them see it, `outlet` where its answer goes and `head` how that begins. `lean` is the
fast path through `http`: `intake` says which bytes need no parser, as their head is in `seen`, and `turn` answers what
needs no task; `known` whether aiohttp is one that it can go past, and `hearing` adds to that one what it does not tell.
`body` reads what came, `cors` says which web page may ask, `admission` who may call; `passage` is what happens to an
answer's bytes on the way, `exhausted` what is said when nobody answers, `answers` what every answer says of its way,
`journal` where a request's time went and `ended` what is told of it afterwards.
`bounds` are what clients may take of us, `strict` what is refused that is HTTP in two ways; `sweep` finds connections
that take too long and `silence` bodies that do, `turned_away` is a connection too many.
"""
