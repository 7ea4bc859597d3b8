"""How answers of the services travel."""

from __future__ import annotations

import traceback
from typing import Any

from tests.cave_double.replies import Refusal, Reply, Request
from tests.dvid_double.transport import Handler


class ServiceHandler(Handler):
    """The transport of the DVID double with answers of another server."""

    def _reply(self, request: Request) -> Reply:
        """The honest answer, errors included."""
        services: Any = self.server.dvid
        try:
            return services.answer(request)
        except Refusal as refusal:
            return refusal.reply
        except Exception:  # noqa: BLE001 - a mistake of the double must be seen by the test, not by its client only
            services.crashes.append(f"{request.method} {request.path}\n{traceback.format_exc()}")
            return Reply(b"the double itself failed\n", "text/plain", 500)
