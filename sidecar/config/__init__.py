"""
Configuration: YAML into frozen attrs, and the only place that reads files and the environment.

    text ── document ──▶ Node ── keys (tables of readers) ──▶ Draft ── linking ──▶ Config ── Catalog.of ──▶ Catalog
             a tree with           each value by itself          names, ports:             every name -> model id
             lines and paths                                     the whole at once

`models` is what everybody else knows; `reading` collects every mistake with its line on the way; `routes` reads a
request's own `routing_preferences` through the same tables.
"""

from sidecar.config.loading import Loaded, builtin, read, read_text

__all__ = ["Loaded", "builtin", "read", "read_text"]
