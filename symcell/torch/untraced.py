"""Code that torch.compile runs as it stands: emitted modules are nothing for it to trace.

It comes upon them where a graph broke, and where a compiled function calls ``backward`` for what ran outside.
"""

from __future__ import annotations

import types
from typing import TypeVar

from torch._C._dynamo import eval_frame

_SKIP = eval_frame._FrameExecStrategy(eval_frame._FrameAction.SKIP, eval_frame._FrameAction.SKIP)
_What = TypeVar("_What")


def untraced(what: _What) -> _What:
    """A function, or all those of a class, with what they call. It costs nothing: the code itself is marked."""
    for each in (what, *vars(what).values()) if isinstance(what, type) else (what,):
        function = each.__func__ if isinstance(each, staticmethod) else each
        if isinstance(function, types.FunctionType):
            eval_frame.set_code_exec_strategy(function.__code__, _SKIP)
    return what
