"""The HTTP side of an endpoint: OpenAI's image API over a model server, with keys, limits, traces and a page.

A request's way: `observation` (id, log line, metrics) -> `auth` (whose key) -> `images` (the route) -> `order` (what it
means) -> `limits` and `drain` (may it be drawn now) -> `generation` (its pictures from the model server) -> `finishing`
(guard, provenance, file) -> the answer, or the events of `streaming`.
"""
