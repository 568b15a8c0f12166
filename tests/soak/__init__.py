"""
Whether it holds: mixed traffic with trouble all the while, and faults one by one.

    run          the command: starts everything, ends it, writes the report
    traffic      clients, a process of their own ──▶ sidecar ──▶ provider    doubles, a process of their own
    trouble      meanwhile: reloads, Redis killed, a sidecar in the place of another, logs rotated, scrapes
    filling      its caches, before memory is judged
    watching     what the sidecar's process is made of: memory, descriptors, tasks, objects
    verdict      what of all that must hold
    faults       SIGKILL, clocks, disks, descriptors, very many connections: each a function

    wishes       what a client wants of the provider, inside its prompt, and what the answer says of itself
    formats      the same in chat completions, messages and responses
    judging      what came of a request, and whose fault it is

A prompt says how the provider shall fail, so the client knows what it caused; an answer says for whom it is, who made it,
and ends with its own checksum, so that one that is cut, mixed up or somebody else's is told from a right one, through every
translation. What the prompt does not explain is the sidecar's fault.
"""
