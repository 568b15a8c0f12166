"""
The benchmark: what a sidecar costs beside what others cost, all measured in one run on one machine.

    traffic ─▶ what is asked and what providers answer, as bytes
    doubles ─▶ the providers: nginx for plain replies, streams.c (or paced.py) for streams
    installing ─▶ programs of others, in a folder of their own outside the tree
    sidecars, proxies, gateways ─▶ what is measured: how each is installed, started and asked
    starting ─▶ one process on one core, and when it is ready
    clocks ─▶ what a process used of its core, and whether others were on it
    wrk, reading ─▶ the load: requests as fast as they are answered, and streams
    rows ─▶ what is asked of whom; roster ─▶ all of those, started
    rounds ─▶ asks them, in turns, and again where others disturbed, while there is time
    sizes, scrape ─▶ memory, start, import, installed size; how long a scrape holds the event loop
    figures ─▶ medians, spreads, ratios within a round; targets ─▶ what they must come to
    record ─▶ the outcome as JSON; table, readme, chart ─▶ for people; profile ─▶ where the time goes
    callgrind, lockstep ─▶ instructions of a request, on however busy a machine; bytecodes ─▶ those of Python

`run.py` is the command, `report.py` makes the README's section and its chart from what `run.py --json` wrote.
"""
