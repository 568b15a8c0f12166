"""
NVIDIA Switchyard's server as its Python package carries it, on a port that it chooses.

    python embedded_switchyard.py ROUTES       in an environment that has `nemo-switchyard`; prints its address
"""

import sys
import threading

from switchyard_rust.server import Server

with Server(sys.argv[1]) as server:
    print(server.base_url, flush=True)
    threading.Event().wait()
