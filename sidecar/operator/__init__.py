"""
What an operator asks from a command line, over the admin port of a sidecar that runs.

    cli ── words of a command ──▶ pins, top, doctor ── AdminPort ──▶ JSON ──▶ Answer: data, and the same as text

Nothing here prints, exits or reads the environment: `cli` does. `calling` knows HTTP, `tables` how text looks in a
terminal, `screen` how a terminal is taken over and given back. What is asked is fetched first, and what it means is
then said by functions of what was fetched: `top.frame`, `doctor.examine`.
"""
