"""`python -m openpose_ext.serve`: a page in the browser that shows skeletons, and an API behind it.

    command.py    the flags, and the server's beginning and end
    app.py        the addresses: what is taken, what is given
    upload.py     a file comes in: bounded, and looked into before anything else is done with it
    jobs.py       a few uploads are worked on at once, the others wait; results are kept for a while
    latest.py     from the threads that work to the visitors who look, without waiting for either
    lines.py      what a visitor is told: a line of JSON at a time
    guard.py      who may ask, and what a browser may do with the answers
    listen.py     the port, and a server that runs beside other work
    live.py       the page of `infer --display`
    page/         what the browser gets

The server, starlette and uvicorn, is imported when it is needed: it comes with the extra `serve`.
"""

from openpose_ext.serve.command import main, preview

__all__ = ["main", "preview"]
