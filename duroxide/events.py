"""
What histories consist of: one frozen class per kind of event.

``Client.read_execution_history`` returns them, `run_turn` takes them. Some have the names of exceptions, so import the
module: ``from duroxide import events``.
"""

from __future__ import annotations

from ._core.events import *  # noqa: F403  # the public face of the whole module
