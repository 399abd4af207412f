"""Who is let in, how much they may ask for, and that nothing else is open."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import openai
import pytest
from fastapi.testclient import TestClient

from rats_train.errors import UserError
from serving.gateway.app import create_app
from serving.gateway.auth import ApiKey, ApiKeys, api_key_file
from serving.gateway.errors import ApiError
from serving.gateway.limits import RETRY_SECONDS, Limits
from serving.gateway.settings import GatewaySettings, public_settings
from tests.unit.serving.gateway.fake_server import SLOTS
from tests.waiting import wait_for

BODY = {"prompt": "two owls", "num_inference_steps": 3}


@pytest.fixture
def keys(tmp_path):
    return ApiKeys(api_key_file(tmp_path))


@pytest.fixture
def token(keys):
    return keys.add("ann", images_per_minute=60, images_at_once=4)


@pytest.fixture
def settings(keys, token):
    return GatewaySettings(api_keys=keys)


def generate(http, token=None, **body):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return http.post("/v1/images/generations", json={**BODY, **body}, headers=headers)


def test_only_health_and_the_page_are_open_without_a_key(gateway, http):
    described = gateway.app.openapi()["paths"]
    paths = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert ("POST", "/v1/images/generations") in paths
    answers = {
        path: http.request(method, path.replace("{model}", "student"), json=BODY if method == "POST" else None)
        for method, path in [*paths, ("GET", "/"), ("GET", "/page.js"), ("GET", "/page.css"), ("GET", "/openapi.json")]
    }
    is_open = {path for path, answer in answers.items() if answer.status_code != 401}
    assert is_open == {"/healthz", "/", "/page.js", "/page.css", "/v1/images/{name}/content"}
    # The last is open to whoever knows a picture's address, which only its caller was told.
    assert answers["/v1/images/{name}/content"].status_code == 404


def test_the_openai_client_gets_in_with_its_key_and_its_own_error_without(gateway, token):
    def client(key):
        return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)

    url = client(token).images.generate(prompt="two owls", response_format="url").data[0].url
    assert httpx.get(url).status_code == 200
    with pytest.raises(openai.AuthenticationError, match="rats keys add"):
        client("wrong").images.generate(prompt="two owls")


def test_no_key_is_told_how_to_send_one(http, server):
    answer = generate(http)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer" in answer.json()["error"]["message"]
    assert not server.jobs


def test_the_file_holds_no_token_and_only_its_owner_may_look(tmp_path):
    keys = ApiKeys(api_key_file(tmp_path / "new"))
    token = keys.add("ann", 60, 4)
    assert token not in api_key_file(tmp_path / "new").read_text()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert keys.find(token).name == "ann"


def test_a_key_that_is_revoked_is_out_at_once(http, keys, token):
    assert generate(http, token).status_code == 200
    ApiKeys(keys._file).revoke("ann")  # another process
    assert generate(http, token).status_code == 401


def test_keys_are_told_apart_by_name(keys, token):
    with pytest.raises(UserError, match="there is a key 'ann' already"):
        keys.add("ann", 1, 1)
    with pytest.raises(UserError, match="no key 'bob': the keys are ann"):
        keys.revoke("bob")


def test_a_key_may_have_so_many_in_the_making(http, server, token):
    server.pause_at_step = 8
    with http.stream(
        "POST", "/v1/images/generations",
        json={"prompt": "two owls", "n": 3, "num_inference_steps": 8, "stream": True, "partial_images": 1},
        headers={"Authorization": f"Bearer {token}"},
    ) as first:  # fmt: skip
        lines = first.iter_lines()  # kept, because httpx closes the connection with it
        next(lines)
        answer = generate(http, token, n=2)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "4 pictures in the making" in answer.json()["error"]["message"]
        assert answer.json()["error"]["type"] == "rate_limit_error"
    server.pause_at_step = 0
    wait_for(lambda: server.in_flight == 0, "room")
    assert generate(http, token, n=4).status_code == 200
    never = generate(http, token, n=5)
    assert (never.status_code, never.json()["error"]["param"]) == (400, "n")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_minute_s_worth_at_once_and_then_at_the_rate():
    clock = Clock()
    limits, key = Limits(clock), ApiKey("ann", "", "", images_per_minute=6, images_at_once=6)

    def ask(images):
        with limits.admitted(key, "student", images, SLOTS):
            pass

    ask(6)
    with pytest.raises(ApiError, match="6 pictures a minute: try again in 20 s") as refusal:
        ask(2)
    assert refusal.value.headers["Retry-After"] == "20"
    clock.now += 19.9
    with pytest.raises(ApiError):
        ask(2)
    clock.now += 0.2
    ask(2)
    clock.now += 3600
    ask(6)
    with pytest.raises(ApiError):
        ask(1)


def test_one_key_s_limit_is_not_another_s():
    limits = Limits(Clock())
    for name in ("ann", "bob"):
        with limits.admitted(ApiKey(name, "", "", 1, 1), "student", 1, SLOTS):
            pass


def test_all_together_are_refused_at_once_when_the_model_server_is_full():
    clock = Clock()
    limits = Limits(clock)

    def admitted(images, model="student"):
        return limits.admitted(None, model, images, SLOTS)

    with admitted(2 * SLOTS - 3):
        with pytest.raises(ApiError, match="13 pictures are in the making, and there is room for 12 now") as refusal:
            admitted(4).__enter__()
        assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (429, "1")
        with pytest.raises(ApiError):  # with the four of a moment ago there would be too many still
            admitted(1).__enter__()
        with admitted(10, "other"):
            pass
        clock.now += RETRY_SECONDS
        with admitted(3):
            pass


def test_those_who_were_refused_find_room_once_there_are_no_more_than_it_holds():
    limits = Limits(Clock())
    with ExitStack() as making:
        for _ in range(2 * SLOTS):
            making.enter_context(limits.admitted(None, "student", 1, SLOTS))
        with pytest.raises(ApiError):
            limits.admitted(None, "student", 1, SLOTS).__enter__()
    for _ in range(2 * SLOTS - 1):  # one of them has gone, and the one who was refused is counted as coming
        making.enter_context(limits.admitted(None, "student", 1, SLOTS))
    making.close()


@pytest.mark.parametrize(("caller", "status"), [("203.0.113.9", 401), ("127.0.0.1", 200), ("::1", 200)])
def test_where_everybody_may_draw_other_machines_see_no_more_than_that(server, caller, status):
    http = TestClient(create_app(server), client=(caller, 50000))
    assert http.post("/v1/images/generations", json=BODY).status_code == 200
    assert [http.get(path).status_code for path in ("/healthz", "/v1/models", "/")] == [200] * 3
    closed = [http.get(path) for path in ("/metrics", "/openapi.json")]
    assert [answer.status_code for answer in closed] == [status] * 2
    assert http.get("/docs").status_code == http.get("/redoc").status_code == 404
    if status == 401:
        assert "rats keys add" in closed[0].json()["error"]["message"]


@pytest.mark.parametrize("settings", [None])
def test_callers_for_whom_there_is_room_never_hear_of_a_limit(gateway):
    # Not even one who asks again the moment an answer is there.
    def ask_again_and_again(_):
        with httpx.Client(base_url=gateway.url, timeout=60) as http:
            return {http.post("/v1/images/generations", json=BODY).status_code for _ in range(5)}

    with ThreadPoolExecutor(2 * SLOTS) as pool:
        assert set().union(*pool.map(ask_again_and_again, range(2 * SLOTS))) == {200}


def test_other_machines_are_not_let_in_without_a_key(tmp_path):
    with pytest.raises(UserError, match=r"0\.0\.0\.0 can be reached.*rats keys add NAME.*--everybody"):
        public_settings("0.0.0.0", tmp_path)
    assert public_settings("127.0.0.1", tmp_path).api_keys is None
    assert public_settings("0.0.0.0", tmp_path, everybody=True).api_keys is None
    ApiKeys(api_key_file(tmp_path)).add("ann", 1, 1)
    assert public_settings("0.0.0.0", tmp_path).api_keys is not None
    assert public_settings("localhost", tmp_path).api_keys is not None


def test_a_damaged_key_file_lets_nobody_in(keys, token, tmp_path):
    api_key_file(tmp_path).write_text(json.dumps([]))
    assert keys.find(token) is None
