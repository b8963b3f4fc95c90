"""Who may ask the server for something: the page that it served itself, and nobody else.

Any web page can make a browser send requests to 127.0.0.1. So each request is checked:

- The Host must be this machine, so that a foreign name that is pointed at it is refused (DNS
  rebinding).
- What changes something must come from the server's own page, as the header Origin says.
- What reads a user's data must not come from another site, as the header Sec-Fetch-Site says. The
  cookie of the user is not sent from other sites either.

The answers tell the browser to run only this server's own scripts, and to show the page in no frame
of another.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
API = "/api/"
_READING = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Refuse what does not come from the server's own page, and mark all answers."""

    def __init__(self, app: ASGIApp) -> None:
        """Guard an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = refusal(scope["method"], scope["path"], Headers(scope=scope))
        if problem is None:
            await self._app(scope, receive, send_marked)
        else:
            await JSONResponse({"error": problem}, 403)(scope, receive, send_marked)


def refusal(method: str, path: str, headers: Headers) -> str | None:
    """Return why a request is refused; None where it is answered.

    Args:
        method: such as GET.
        path: of the address.
        headers: of the request.
    """
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
        return "this page answers only as 127.0.0.1 or localhost"
    if method not in _READING:
        if headers.get("origin") != f"http://{host}":
            return "this request does not come from the page itself"
    elif path.startswith(API) and headers.get("sec-fetch-site", "none") not in (
        "same-origin",
        "none",
    ):
        return "this request comes from another site"
    return None
