"""
Conversations that nobody named, by how they began: whether one goes on under another system prompt or other tools.

An implicit session's key has system and tools in it, so a conversation whose system or tools change is another session
from then on. This table only gives that its word. The latest head of each start is remembered in this process, of so
many starts; a sidecar that did not see the conversation before calls it new.
"""

from collections import OrderedDict

from sidecar.wire.head import Head


class Drift:
    """`capacity`: how many starts are remembered; beyond that the one that was seen least recently is forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._latest: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def seen(self, head: Head, *, answered: bool) -> bool:
        """
        Remembers `head`; whether the conversation was last seen with another. `answered`: whether a model has answered
        in it already. One that is just beginning has not changed, whoever else begins with the same words.
        """
        before = self._latest.get(head.start)
        self._latest[head.start] = head.whole
        self._latest.move_to_end(head.start)
        if len(self._latest) > self._capacity:
            self._latest.popitem(last=False)
        return answered and before is not None and before != head.whole
