"""A small RTSP server for the tests, run by the system's Python, which has GStreamer's bindings.

    python3 rtsp_server.py PORT

Serves Motion JPEG, 160 x 120 at 25 frames a second, as rtsp://127.0.0.1:PORT/live, and prints the
port when it does; 0 takes one that is free.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(True)
factory.set_launch(
    "( videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=160,height=120,"
    "framerate=25/1 ! jpegenc ! rtpjpegpay name=pay0 )"
)
server.get_mount_points().add_factory("/live", factory)
if not server.attach(None):
    sys.exit(f"port {sys.argv[1]} cannot be used")
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
