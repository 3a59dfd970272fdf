"""`python -m openpose_ext.serve`: a web page that shows skeletons, and its API.

    command.py       the flags, start and end of the server
        app.py           the addresses and their answers
        options.py       what visitors may ask of the networks and of the drawing
        upload.py        receives a file, with limits, and checks it before anything else
        jobs.py          processes a few uploads at once, queues the others, finds them again
        work.py          one upload's frames on their way to its results
        webcam.py        single frames of webcams, of which only the newest is processed
        kept.py          keeps results for a while
        zipped.py        all results in one file
        latest.py        passes frames from the working threads to visitors; neither waits for the
                         other
        lines.py         the messages to a visitor, one line of JSON each
    memory and disk
        budget.py        the memory of all uploads together
        cost.py          the memory that an upload needs, by its header
        estimators.py    the networks that are kept open
        networks.py      opens them
        folder.py        uploads and results on disk, and removing those of killed servers
    access
        guard.py         which requests are allowed, and what a browser may do with the answers
        token.py         the token of a server that others can reach
        connections.py   limits for slow and greedy clients
    listen.py        the port, the shutdown, and a server that runs beside other work
    live.py          the page of `infer --display`
    page/            the files for the browser

The web server (starlette and uvicorn) is imported only when needed; the extra `serve` installs it.
"""

from openpose_ext.serve.command import main, preview

__all__ = ["main", "preview"]
