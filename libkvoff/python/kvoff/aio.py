# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prefetches that asyncio waits for."""

from __future__ import annotations

import asyncio
import itertools

from . import deadline
from ._array import Index
from ._result import Completion
from .region import Region


class Prefetcher:
    """Waits for prefetches of one region without a thread. One a region: nobody else may call its reap() meanwhile.

    look_s  seconds after which it looks by itself, for what another process took back wakes nobody
    """

    def __init__(self, region: Region, look_s: float = 1.0) -> None:
        self._region = region
        self._look_s = look_s
        self._cookies = itertools.count()
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def until(self, index: Index, timeout: float | None = None) -> Completion:
        """Prefetch these blocks; return when they are there, or with late=True after timeout seconds.

        Being cancelled takes nothing back: Region.touch() or a hint does. Error ENOTSUP: plain memory.
        """
        loop = asyncio.get_running_loop()
        fd = self._region.eventfd()
        cookie = next(self._cookies)
        self._region.prefetch_until(index, cookie, 0 if timeout is None else deadline(timeout))
        done: asyncio.Future[Completion] = loop.create_future()
        if not self._waiting:
            loop.add_reader(fd, self._reap)
            self._timer = loop.call_later(self._look_s, self._look, loop)
        self._waiting[cookie] = done
        try:
            # they may all be there already
            self._reap()
            return await done
        finally:
            self._waiting.pop(cookie, None)
            if not self._waiting:
                loop.remove_reader(fd)
                if self._timer is not None:
                    self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._reap()
        self._timer = loop.call_later(self._look_s, self._look, loop)

    def _reap(self) -> None:
        while True:
            some = self._region.reap()
            for c in some:
                # one that was cancelled has nobody to tell
                done = self._waiting.get(c.cookie)
                if done is not None and not done.done():
                    done.set_result(c)
            if not some:
                return
