"""The endpoint under load, over HTTP, each server in a process of its own.

* `throughput`: against the same student behind plain FastAPI and stock diffusers
* `overload`: four times as much as it can draw
* `endurance`: memory over ten thousand requests
"""
