"""The web application of a review: routes, who may use them, and nothing else."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from cleanplate.errors import CleanplateError, ConfigError, StorageError
from cleanplate.rollout.ab_desk import AbDesk
from cleanplate.rollout.desk import Desk

COOKIE = "cleanplate_review"
MOST_MASK_BYTES = 64_000_000
_STATIC = {
    "review.js": "text/javascript", "review.css": "text/css", "brush.js": "text/javascript",
    "outbox.js": "text/javascript", "ab.js": "text/javascript",
}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
Next = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Access:
    """Who may use the page.

    Attributes:
        host: address it listens on.
        token: what every request must carry; "" for none.
    """

    host: str = "127.0.0.1"
    token: str = ""

    @classmethod
    def checked(cls, host: str, token: str | None) -> Access:
        """Refuses to listen to others without a token.

        Raises:
            ConfigError: the host is not this machine alone, and there is no token.
        """
        if not token and not is_local(host):
            raise ConfigError(
                f"--host {host} lets others on the network judge and see the images: give a --token that they must "
                "bring, or listen on 127.0.0.1"
            )
        if token is not None and token and len(token) < 8:
            raise ConfigError("--token: take at least 8 characters, such as `openssl rand -hex 16` prints")
        return cls(host, token or "")

    def permits(self, request: Request) -> bool:
        """Whether a request carries the token, in the cookie or a header; compared in constant time."""
        if not self.token:
            return True
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = (request.cookies.get(COOKIE, ""), request.headers.get("x-cleanplate-token", ""), bearer)
        return sum(self.is_token(text) for text in given) > 0  # all are compared, so that the time tells nothing

    def is_token(self, text: str) -> bool:
        """Whether a text is the token; takes as long for a wrong one."""
        return secrets.compare_digest(text.encode(), self.token.encode())

    def knows_host(self, request: Request) -> bool:
        """Whether the browser asked for this machine by its own name.

        Without a token this keeps other sites' pages out, whose name was made to point here (DNS rebinding).
        """
        return bool(self.token) or is_local(request.url.hostname or "")


def is_local(host: str) -> bool:
    """Whether a host's name or address means this machine alone."""
    try:
        return host in _LOCAL_NAMES or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Verdict(BaseModel):
    """What the page sends for a decision."""

    model_config = ConfigDict(extra="forbid")
    key: str
    run_id: str
    verdict: str
    reviewer: str
    at_ms: int = Field(gt=0)
    note: str = ""


class Choice(BaseModel):
    """What the A/B page sends."""

    model_config = ConfigDict(extra="forbid")
    key: str
    choice: str
    reviewer: str
    at_ms: int = Field(gt=0)


class Publisher(BaseModel):
    """Who asks for the publication."""

    model_config = ConfigDict(extra="forbid")
    reviewer: str


def make_app(desk: Desk | AbDesk, access: Access) -> FastAPI:
    """The application over a desk.

    Args:
        desk: of a review, or of an A/B comparison.
        access: who may use it.
    """
    # Without FastAPI's own documentation pages, which load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _guard(app, access)
    _add_pages(app, "ab.html" if isinstance(desk, AbDesk) else "review.html")
    if isinstance(desk, AbDesk):
        _add_ab(app, desk)
    else:
        _add_reading(app, desk)
        _add_writing(app, desk)
    return app


def _guard(app: FastAPI, access: Access) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        response = _refusal(request, access) or await call_next(request)
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.exception_handler(CleanplateError)
    async def tell(request: Request, error: CleanplateError) -> Response:
        return JSONResponse({"detail": str(error)}, 503 if isinstance(error, StorageError) else 400)

    @app.exception_handler(KeyError)
    async def unknown(request: Request, error: KeyError) -> Response:
        return JSONResponse({"detail": "there is no such thing in this queue"}, 404)


def _refusal(request: Request, access: Access) -> Response | None:
    """The answer to a request that may not pass, None for one that may."""
    if not access.knows_host(request):
        return PlainTextResponse("open this page by the address that `cleanplate review` printed\n", 403)
    offered = request.query_params.get("token")
    if offered is not None and request.method == "GET" and access.token and access.is_token(offered):
        # The token goes into a cookie, so that it stands in no address, history or log from here on.
        answer = RedirectResponse(request.url.path, 303)
        answer.set_cookie(COOKIE, access.token, httponly=True, samesite="strict")
        return answer
    if not access.permits(request):
        return PlainTextResponse("a token is needed: open /?token=… as `cleanplate review` printed it\n", 401)
    if request.method not in ("GET", "HEAD") and "x-cleanplate" not in request.headers:
        # No other site's page can send this header without asking first, and nobody answers it.
        return PlainTextResponse("this request did not come from the page\n", 403)
    return None


def _add_pages(app: FastAPI, page: str) -> None:
    @app.get("/")
    def index() -> Response:
        return Response(_resource(page), media_type="text/html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404)
        return Response(_resource(name), media_type=_STATIC[name])


def _add_reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/queue")
    def queue() -> JSONResponse:
        return JSONResponse(desk.queue())

    @app.get("/api/item/{key}")
    def item(key: str) -> JSONResponse:
        return JSONResponse(desk.item(key))

    @app.get("/image/{key}/{run_id}/{view}")
    def image(key: str, run_id: str, view: str) -> Response:
        return _picture(desk.view(key, run_id, view))

    @app.get("/mask/{key}/{run_id}")
    def mask(key: str, run_id: str) -> Response:
        return Response(desk.mask(key, run_id), media_type="image/png")

    @app.get("/api/task/{number}")
    def task(number: int) -> JSONResponse:
        return JSONResponse(desk.task(number))


def _add_writing(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/verdict")
    def verdict(given: Verdict) -> JSONResponse:
        at = _time(given.at_ms)
        return JSONResponse(desk.decide(given.key, given.run_id, given.verdict, given.reviewer, at, given.note))

    @app.post("/api/again/{key}/{run_id}")
    async def again(key: str, run_id: str, reviewer: str, at_ms: int, request: Request) -> JSONResponse:
        data = await _body(request, MOST_MASK_BYTES)
        return JSONResponse(await run_in_threadpool(desk.run_again, key, run_id, data, reviewer, _time(at_ms)))

    @app.post("/api/publish")
    def publish(given: Publisher) -> JSONResponse:
        return JSONResponse({"message": desk.publish(given.reviewer)})


def _add_ab(app: FastAPI, desk: AbDesk) -> None:
    @app.get("/api/queue")
    def queue(reviewer: str = "") -> JSONResponse:
        return JSONResponse(desk.queue(reviewer))

    @app.get("/image/{key}/{side}")
    def image(key: str, side: str, reviewer: str) -> Response:
        return _picture(desk.view(key, side, reviewer))

    @app.post("/api/choice")
    def choice(given: Choice) -> JSONResponse:
        return JSONResponse(desk.choose(given.key, given.choice, given.reviewer, _time(given.at_ms)))


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})


def _time(at_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(at_ms // 1000, timezone.utc).replace(microsecond=at_ms % 1000 * 1000)
    except (OverflowError, OSError, ValueError):
        raise HTTPException(400, "at_ms is no time") from None


async def _body(request: Request, most_bytes: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise HTTPException(413, f"a mask has at most {most_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def _resource(name: str) -> bytes:
    return resources.files("cleanplate.rollout").joinpath("web", name).read_bytes()
