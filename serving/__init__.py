"""Packaging and serving of few-step students.

`endpoint` puts it together. From below:

* `protocol`, `keys`, `pictures`: what all others agree on.
* `package/`: what a version is, its signature, which version is served. `packaging/` makes one.
* `drawing/`: steps for many pictures at once. `backend/`: the same inside Triton.
* `triton/`: the server's process, its supervisor, and asking it for a picture.
* `gateway/`: OpenAI's image API over it, and the page. `preview_client` asks it for what OpenAI's client cannot.
"""
