"""The trigger as a process for `test_killed`: all of it but MLflow, whose registry is a file here.

service.py FOLDER KFP-URL PORT
"""

import json
import sys
from pathlib import Path

import uvicorn

from pipelines.cluster.kfp_server import PipelinesServer
from pipelines.trigger.ledger import Ledger
from pipelines.trigger.service import Watcher, make_app
from pipelines.trigger.settings import Retraining, Settings

SECRET = "a secret of the webhook"
TRAIN = 'rewards.train=[{"name": "a", "path": "a@1"}]'
TOLD = Settings(retrain=[Retraining(reward="a", recipe="emoji", overrides=[TRAIN])], poll_seconds=0.5)


def main() -> None:
    """Serve until killed."""
    folder, kfp, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ledger = Ledger(folder / "trigger.db")
    server = PipelinesServer(kfp, "rats")

    def versions_of(name: str) -> list[int]:
        return list(json.loads((folder / "registry.json").read_text()))

    watcher = Watcher(TOLD, ledger, server, folder / "retrain.yaml", versions_of)
    uvicorn.run(make_app(TOLD, ledger, watcher, SECRET), port=port, log_level="error")


if __name__ == "__main__":
    main()
