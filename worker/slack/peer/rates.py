"""Rate limits (docs.slack.dev/apis/web-api/rate-limits): calls a minute by tier, posts a second by channel."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

POSTS = ("chat.postMessage", "chat.postEphemeral")


@dataclass
class Rates:
    """How many calls pass; change the fields to be stricter or milder.

    Attributes:
        limited: Whether anything is limited at all.
        tiers: Calls a minute of one method, by its tier.
        methods: Calls a minute of methods that are not as their tier.
        posts: Posts a second in one channel, in the long run.
        burst: Posts in one channel that pass at once.
    """

    clock: Callable[[], float]
    limited: bool = True
    tiers: dict[int, int] = field(default_factory=lambda: {1: 1, 2: 20, 3: 50, 4: 100})
    methods: dict[str, int] = field(default_factory=dict)
    posts: float = 1.0
    burst: int = 5
    _calls: dict[str, deque[float]] = field(default_factory=dict, repr=False)
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    def retry_after(self, method: str, tier: int, channel: str) -> int | None:
        """Whole seconds to wait, or None when the call passes and counts."""
        if not self.limited:
            return None
        if method in POSTS:
            return self._post(channel)
        now = self.clock()
        calls = self._calls.setdefault(method, deque())
        while calls and now - calls[0] >= 60:
            calls.popleft()
        if len(calls) >= self.methods.get(method, self.tiers[tier]):
            return max(1, math.ceil(60 - (now - calls[0])))
        calls.append(now)
        return None

    def _post(self, channel: str) -> int | None:
        now = self.clock()
        left, at = self._buckets.get(channel, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self.posts)
        if left < 1:
            self._buckets[channel] = (left, now)
            return max(1, math.ceil((1 - left) / self.posts))
        self._buckets[channel] = (left - 1, now)
        return None
