"""
The brain: which session a request belongs to, what is pinned, what is decided and why.

Pure: no I/O, no clock, no chance. What it needs of the world (a store, a classifier, the time) comes in as an
argument, so every rule here can be tested in a microsecond.
"""
