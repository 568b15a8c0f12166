"""
The operator's port, with Envoy's names.

    request ─▶ app ─▶ guard ─▶ a group of paths ─▶ answers
                │                 readiness   /ready /live /healthcheck/*        pins      /pins
                └─▶ /help         stats       /metrics /stats                    dryrun    /route
                                  clusters    /clusters                          console   / /recent
                                  dump        /config_dump
                                  listeners   /listeners /drain_listeners
                                  process     /server_info /memory /logging /reopen_logs /quitquitquit

A group is a class with `routes()`; it knows none of the others, and `server` gives each what it needs. `app` puts them
together, `guard` says who may ask what, `answers` is the shape of JSON and of errors, `state` what the program is doing.
"""
