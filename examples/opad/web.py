"""The web server: one page. It knows where the API is, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

__all__ = ["web"]

web = FastAPI(title="OPAD web")
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape()
)


@web.get("/", response_class=HTMLResponse)
def page() -> str:
    """The page."""
    api = os.environ.get("OPAD_API_URL", "http://127.0.0.1:8001")
    return _templates.get_template("page.html").render(api=api)


@web.get("/health")
def health() -> dict[str, str]:
    """This process is up."""
    return {"status": "ok"}
