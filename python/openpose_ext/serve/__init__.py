"""`python -m openpose_ext.serve`: a web page that shows skeletons, and its API.

    command.py    the flags, start and end of the server
        app.py        the addresses and their answers
        upload.py     receives a file, with limits, and checks it before anything else
        jobs.py       processes a few uploads at once, queues the others, and keeps results for a
                      while
        latest.py     passes frames from the working threads to visitors; neither waits for the
                      other
        lines.py      the messages to a visitor, one line of JSON each
        guard.py      which requests are allowed, and what a browser may do with the answers
    listen.py     the port, and a server that runs beside other work
    live.py       the page of `infer --display`
    page/         the files for the browser

The server, starlette and uvicorn, is imported only when needed; the extra `serve` installs it.
"""

from openpose_ext.serve.command import main, preview

__all__ = ["main", "preview"]
