"""Models by hub id, against a small HTTP server in the place of the hub."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from rats_train.embedded import reward_folder, teacher_folder
from rats_train.errors import UserError
from rats_train.hub import fetch, is_hub_id

FILES = {"model_index.json": b"{}", "unet.safetensors": b"weights", "pytorch_model.bin": b"pickle", "x.py": b"code"}
COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Knows org/open at the revision main; org/gated is gated; nothing else exists."""

    def do_GET(self) -> None:
        if "/org/gated" in self.path:
            return self._reply(403, {"X-Error-Code": "GatedRepo"})
        if "/org/open" not in self.path:
            return self._reply(404, {"X-Error-Code": "RepoNotFound"})
        if self.path.startswith("/api/models/org/open"):
            if "nowhere" in self.path:
                return self._reply(404, {"X-Error-Code": "RevisionNotFound"})
            tree = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in FILES.items()]
            info = {"id": "org/open", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            return self._reply(200, {}, json.dumps(tree if "/tree/" in self.path else info).encode())
        data = FILES[self.path.rpartition("/")[2]]
        return self._reply(200, {"ETag": f'"{len(data)}"', "X-Repo-Commit": COMMIT}, data)

    do_HEAD = do_GET  # noqa: N815

    def _reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    fetch.cache_clear()
    yield server
    server.shutdown()
    server.server_close()
    fetch.cache_clear()


def test_what_reads_as_a_hub_id_and_is_no_folder_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("org/name")
    assert is_hub_id("org/na.me@refs/pr/1")
    (tmp_path / "org" / "name").mkdir(parents=True)
    for path in ("org/name", "name", "/org/name", "a/b/c", "~/org"):
        assert not is_hub_id(path)
    assert teacher_folder("org/name") == Path("org/name")


@pytest.mark.usefixtures("hub")
def test_weights_and_settings_are_fetched_and_neither_pickle_nor_code() -> None:
    folder = teacher_folder("org/open")
    assert sorted(path.name for path in folder.iterdir()) == ["model_index.json", "unet.safetensors"]
    assert (folder / "unet.safetensors").read_bytes() == b"weights"


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("org/gated", r"org/gated is gated: accept its licence .* HF_TOKEN"),
        ("org/missing", r"no folder org/missing here, and no model org/missing on the hub"),
        ("org/open@nowhere", r"org/open has no revision nowhere"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        reward_folder(name)
    assert "\n" not in str(caught.value)


def test_a_hub_out_of_reach_and_a_mistyped_folder_are_one_line(hub: ThreadingHTTPServer) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UserError, match="no folder org/open here, and the hub cannot be reached"):
        teacher_folder("org/open")
