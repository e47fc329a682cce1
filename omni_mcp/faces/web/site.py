"""The page as one ASGI app, for `serve` and `omni-mcp dashboard`; whoever is not let in gets no further than here."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni_mcp.errors import BadRequest, OmniError, TaskNotFound
from omni_mcp.faces.status import status_of
from omni_mcp.faces.web import deeds, door, live
from omni_mcp.faces.web.door import ENTER, ROOT, STATIC, NotLetIn
from omni_mcp.faces.web.forms import GIVEN, Form, form_of, one
from omni_mcp.faces.web.keys import Keys, form_key
from omni_mcp.faces.web.pages import NEW, PAGES, Page
from omni_mcp.faces.web.render import LOOK, THEMES, Look, Part, Renderer
from omni_mcp.lang import LANGUAGES
from omni_mcp.service.service import Service

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
YEAR = 365 * 24 * 3600
MOST_SAID = 200
"""Sentences that wait to be shown, of all sessions."""

Handler = Callable[[Request], Awaitable[Response]]


class Site:
    """All pages over one service."""

    def __init__(self, service: Callable[[], Service], keys: Keys) -> None:
        self._service = service
        self._keys = keys
        self._said: dict[str, str] = {}
        pages = [Route(page.path, partial(self._show, page)) for page in PAGES]
        lives = [Route(_live(page.path), partial(self._follow, page)) for page in PAGES if page.parts]
        doing = [Route(path, partial(self._do, deed), methods=["POST"]) for path, deed in deeds.DEEDS.items()]
        self._app = Starlette(
            routes=[
                Route(ROOT, _to_the_first),
                Route(ENTER, self._door),
                Route(ENTER, self._enter, methods=["POST"]),
                Route(f"{ROOT}/leave", self._leave, methods=["POST"]),
                Route(f"{ROOT}/look", self._look, methods=["POST"]),
                Route(f"{ROOT}/find", self._find),
                Route(f"{ROOT}/tasks", self._submit, methods=["POST"]),
                Mount(STATIC, StaticFiles(directory=FOLDER / "static", check_dir=False)),
                *doing,
                *lives,
                *pages,
            ],
            exception_handlers={OmniError: self._told, HTTPException: self._no_such_page},  # type: ignore[dict-item]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whoever may ask; every answer carries the headers that keep others out of it."""
        request = Request(scope, receive)
        answer: ASGIApp = self._app
        try:
            door.check_request(request.method, request.headers)
            await self._check_session(request)
        except NotLetIn as error:
            answer = await self._told(request, error)
        await answer(scope, receive, partial(_hardened, send))

    async def _check_session(self, request: Request) -> None:
        """Raise NotLetIn for all but the door where nobody was let in."""
        path = request.url.path
        if path != ENTER and not path.startswith(f"{STATIC}/") and not await self._is_in(request):
            raise door.no_session()

    async def _is_in(self, request: Request) -> bool:
        session = _session(request)
        return bool(session) and await run_sync(self._keys.knows, session)

    # pages

    async def _show(self, page: Page, request: Request) -> Response:
        return await self._shown(page, request, await page.values(self._service(), request))

    async def _shown(self, page: Page, request: Request, values: Mapping[str, Any], status: int = 200) -> Response:
        renderer = self._renderer(request)
        parts = await run_sync(_parts, page, renderer, values)
        said = self._said.pop(_session(request), None)
        at = _live(_here(request)) if page.parts else ""
        return await _filled(renderer, page.template, status, parts=parts, live=at, said=said, **values)

    async def _follow(self, page: Page, request: Request) -> Response:
        """Answer with the parts of a page that change, for as long as somebody looks."""
        service, renderer = self._service(), self._renderer(request)

        async def parts() -> Mapping[str, Part]:
            return await run_sync(_parts, page, renderer, await page.values(service, request))

        await page.values(service, request)
        stream = live.news(
            service.ledger, parts, partial(self._is_in, request), lambda error: renderer.say(error.message)
        )
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _find(self, request: Request) -> Response:
        """Lead to the task that an id, or the beginning of one, means."""
        wanted = request.query_params.get("task", "").strip()
        if not wanted:
            raise TaskNotFound(wanted)
        task = await self._service().status(wanted)
        return RedirectResponse(deeds.task_path(task.task_id), 303)

    # deeds

    async def _do(self, deed: deeds.Deed, request: Request) -> Response:
        form = await self._form(request)
        return self._after(request, await deed(self._service(), request, form))

    async def _submit(self, request: Request) -> Response:
        """Hand off a task; what cannot be one is shown again, with the reason."""
        form = await self._form(request)
        try:
            done = await deeds.submit(self._service(), request, form)
        except BadRequest as error:
            values = await NEW.values(self._service(), request)
            given = {name: form.get(name, [""])[0] for name in GIVEN}
            again = {**values, "given": given, "key": one(form, "idempotency_key") or values["key"], "error": error}
            return await self._shown(NEW, request, again, 422)
        return self._after(request, done)

    def _after(self, request: Request, done: deeds.Done) -> Response:
        if done.text:
            while len(self._said) >= MOST_SAID:
                del self._said[next(iter(self._said))]
            self._said[_session(request)] = done.text
        return RedirectResponse(done.to, 303)

    async def _form(self, request: Request) -> Form:
        form = await form_of(request)
        door.check_form(_session(request), one(form, door.FORM_KEY))
        return form

    # the door, and how it looks

    async def _door(self, request: Request) -> Response:
        if await self._is_in(request):
            return RedirectResponse(f"{ROOT}/", 303)
        return await _filled(self._renderer(request), "enter.html", bare=True, error=None)

    async def _enter(self, request: Request) -> Response:
        """Let a browser in that has a link."""
        form = await form_of(request)
        session = await run_sync(self._keys.let_in, one(form, "key"))
        if session is None:
            raise NotLetIn(403, "this link was used already, or is too old", next_step=f"{door.GET_IN} prints another")
        logger.info("a browser was let in", extra={"action": "page_entered"})
        answer = RedirectResponse(f"{ROOT}/", 303)
        answer.set_cookie(door.cookie_name(request), session, path=ROOT, httponly=True, samesite="strict")
        return answer

    async def _leave(self, request: Request) -> Response:
        await self._form(request)
        await run_sync(self._keys.forget, _session(request))
        answer = RedirectResponse(ENTER, 303)
        answer.delete_cookie(door.cookie_name(request), path=ROOT)
        return answer

    async def _look(self, request: Request) -> Response:
        """Remember the theme or the language that somebody chose."""
        form = await self._form(request)
        look = Look.of(request)
        theme, language = one(form, "theme"), one(form, "language")
        look = Look(
            theme=theme if theme in THEMES else look.theme,
            language=language if language in LANGUAGES else look.language,
            chosen=look.chosen or language in LANGUAGES,
        )
        back = one(form, "back")
        answer = RedirectResponse(back if back.startswith(f"{ROOT}/") else f"{ROOT}/", 303)
        answer.set_cookie(LOOK, look.cookie, max_age=YEAR, path=ROOT, httponly=True, samesite="strict")
        return answer

    # what went wrong

    async def _told(self, request: Request, error: Exception) -> Response:
        """Say what happened and what to do."""
        assert isinstance(error, OmniError)  # noqa: S101
        status = _status(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("page: %s", error.message, extra={"action": "page_failed"})
        bare = status == HTTPStatus.UNAUTHORIZED
        template = "enter.html" if bare else "error.html"
        return await _filled(self._renderer(request), template, status, bare=bare, error=error)

    async def _no_such_page(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        told = NotLetIn(
            error.status_code, f"there is no page at {request.url.path[:100]!r}", next_step="go on from the tasks"
        )
        return await self._told(request, told)

    def _renderer(self, request: Request) -> Renderer:
        session = _session(request)
        known = {
            "ROOT": ROOT,
            "STATIC": STATIC,
            "GET_IN": door.GET_IN,
            "path": request.url.path,
            "here": _here(request),
            "bare": False,
            "form_key": form_key(session) if session else "",
        }
        return Renderer(Look.of(request), known)


def mounted(site: Site) -> Handler:
    """Return the site as an endpoint of another app, which has matched its path."""

    async def page(_request: Request) -> Response:
        return site  # type: ignore[return-value] # Starlette calls what it is given as an ASGI app

    return page


async def _filled(renderer: Renderer, template: str, status: int = 200, **values: Any) -> Response:
    """Fill a template where it may take its time."""
    return HTMLResponse(await run_sync(partial(renderer.page, template, **values)), status)


def _parts(page: Page, renderer: Renderer, values: Mapping[str, Any]) -> Mapping[str, Part]:
    return {name: renderer.part(f"parts/{name}.html", **values) for name in page.parts}


def _live(path: str) -> str:
    """Return where the page of a path is kept up to date."""
    return f"{ROOT}/live{path.removeprefix(ROOT)}"


def _here(request: Request) -> str:
    """Return the address of a page within the site, with what was asked for."""
    query = urlencode(request.query_params.multi_items())
    return f"{request.url.path}?{query}" if query else request.url.path


def _session(request: Request) -> str:
    return request.cookies.get(door.cookie_name(request), "")


async def _to_the_first(_request: Request) -> Response:
    return RedirectResponse(f"{ROOT}/", 303)


async def _hardened(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in door.HEADERS.items():
            headers.setdefault(name, value)
    await send(message)


def _status(error: OmniError) -> int:
    return error.status if isinstance(error, NotLetIn) else status_of(error)
