"""`rats serve`, which signs its pictures, with one of the backends beside this file in place of its own, as a process.

python -m benchmarks.serving.endpoint REPO [BACKEND]
"""

import sys
from pathlib import Path

from serving.endpoint import Endpoint, run_forever
from serving.gateway.settings import public_settings
from serving.triton import installation


def tell(endpoint: Endpoint) -> None:
    """Print where it is."""
    sys.stdout.write(f"{endpoint.url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[2:]:
        installation.BACKEND_CODE = Path(__file__).parent / "backends" / sys.argv[2]
    run_forever(Path(sys.argv[1]), on_ready=tell, http_port=0, settings=public_settings("127.0.0.1"))
