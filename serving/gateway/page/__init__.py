"""The page at `/`: three files of our own, and nothing from anywhere else."""

from pathlib import Path

from fastapi import APIRouter, Response

# Whatever else the page were made to fetch or run, the browser refuses.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'self'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

router = APIRouter(include_in_schema=False)


def _add(path: str, name: str, media_type: str) -> None:
    @router.get(path)
    async def file() -> Response:
        content = Path(__file__).with_name(name).read_bytes()
        return Response(content, media_type=media_type, headers=_HEADERS)


_add("/", "page.html", "text/html")
_add("/page.css", "page.css", "text/css")
_add("/page.js", "page.js", "text/javascript")
