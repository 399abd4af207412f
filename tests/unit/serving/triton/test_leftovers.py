import os
import subprocess

from serving.triton import leftovers


def test_only_what_killed_supervisors_left_is_deleted(monkeypatch, tmp_path):
    memory, temporary = tmp_path / "shm", tmp_path / "tmp"
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", memory)
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(temporary))
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = [f"rats_{os.getpid()}_1", "rats_of_somebody_else", "other"]
    for place in (memory, temporary):
        for name in [*kept, f"rats_{ended.pid}_1"]:
            (place / name).mkdir(parents=True)
    (memory / f"rats_{ended.pid}_2").touch()
    leftovers.remove_leftovers()
    for place in (memory, temporary):
        assert {path.name for path in place.iterdir()} == set(kept)
