"""The page at `/`: the built one where it is there, else one that the server draws itself."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles


def add_pages(app: FastAPI, static: Path) -> None:
    """Serve the built page from `static`, or the fallback."""
    index = static / "index.html"
    if index.is_file():

        def page(request: Request) -> Response:
            return FileResponse(index, headers={"Cache-Control": "no-cache"})

        app.add_route("/", page)
        app.mount("/assets", StaticFiles(directory=static / "assets", check_dir=False))
        app.mount("/static", StaticFiles(directory=static))

        def icon(request: Request) -> Response:
            return FileResponse(static / "icon.svg")

        app.add_route("/icon.svg", icon)
        return

    def fallback(request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Braincase</title><p>not built")

    app.add_route("/", fallback)
