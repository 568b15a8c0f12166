"""
TensorZero's gateway as its Python package carries it, which serves OpenAI's API on a port that it chooses.

    python embedded_tensorzero.py CONFIG       in an environment that has `tensorzero`; prints its address
"""

import sys
import threading

from tensorzero import _start_http_gateway

gateway = _start_http_gateway(  # how its own `patch_openai_client` starts it
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
threading.Event().wait()
