"""Log lines as JSON objects, one a line. Prompts are in none of them unless `log_prompts` was asked for."""

import logging

from pythonjsonlogger.json import JsonFormatter


def log_as_json() -> None:
    """Send what the project logs to standard error as JSON lines, from INFO on."""
    handler = logging.StreamHandler()
    names = {"levelname": "level", "name": "logger"}
    handler.setFormatter(JsonFormatter("%(levelname)s %(name)s %(message)s", rename_fields=names, timestamp="time"))
    for name in ("serving", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO if name == "serving" else logging.WARNING)
        logger.handlers, logger.propagate = [handler], False
