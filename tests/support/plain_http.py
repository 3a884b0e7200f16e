"""What httpx needs for requests without TLS: otherwise it reads all certificates of the machine for
each request, which takes longer than most answers."""

from __future__ import annotations

import ssl

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
