"""Web app: the signed data with which Telegram opens a bot's web page for a person.

In        a page's address, a person and the bot's token.
Out       the address with ``tgWebAppData`` behind its ``#``, as a client opens it.
Promises  a page that checks the signature by Telegram's rule finds it right.
"""

import hashlib
import hmac
import json
from urllib.parse import urlencode

from sandbox.telegram.records import Json


def signed_address(url: str, token: str, person: Json, query_id: str, auth_date_s: int) -> str:
    """Write the address that opens a bot's page as this person."""
    data = {
        "query_id": query_id,
        "user": json.dumps({**person, "language_code": "en"}, separators=(",", ":")),
        "auth_date": str(auth_date_s),
    }
    lines = "\n".join(f"{name}={data[name]}" for name in sorted(data))
    secret = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    data["hash"] = hmac.new(secret, lines.encode(), hashlib.sha256).hexdigest()
    fragment = urlencode(
        {"tgWebAppData": urlencode(data), "tgWebAppVersion": "9.0", "tgWebAppPlatform": "web"}
    )
    return f"{url}{'&' if '#' in url else '#'}{fragment}"
