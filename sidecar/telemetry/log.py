"""
The log: one line an event, on standard error, with the time in UTC.

What may stand in it: trace ids, models, routes, reasons, codes, addresses, durations. What may not: prompts, keys,
session ids.
"""

import logging
import time


def set_up(level: str) -> None:
    """`level`: debug, info, warning or error. For the program only: a library would leave this to its user."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
