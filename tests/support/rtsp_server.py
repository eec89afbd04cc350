"""A network camera: RTSP 1.0 with its pictures as MPEG-TS in RTP, over the RTSP connection itself (RFC 2326, 2250)."""

import socketserver
import struct
import threading
import time
from contextlib import contextmanager, suppress

SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
PACKET = 7 * 188  # bytes of MPEG-TS in one RTP packet


@contextmanager
def camera(stream: bytes, seconds: float):
    """Serves an MPEG-TS that lasts so many seconds; gives its address, and a list that grows with each request."""
    requests = []

    class Camera(socketserver.StreamRequestHandler):
        def handle(self):
            while lines := self.request_lines():
                requests.append(lines[0])
                head = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
                method, address, _ = lines[0].split(" ")
                extra, body = {
                    "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
                    "DESCRIBE": (f"Content-Base: {address}/\r\nContent-Type: application/sdp\r\n", SDP),
                    "SETUP": (f"Transport: {head.get('transport')}\r\nSession: 1\r\n", ""),
                }.get(method, ("Session: 1\r\n", ""))
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {head['cseq']}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
                self.wfile.write(answer.encode())
                if method == "PLAY":
                    with suppress(OSError):  # who looked has gone
                        self.play()
                    return

        def request_lines(self):
            lines = []
            while line := self.rfile.readline().decode().strip():
                lines.append(line)
            return lines

        def play(self):
            packets = [stream[start : start + PACKET] for start in range(0, len(stream), PACKET)]
            for number, packet in enumerate(packets):
                header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, 90 * number, 1)
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(header) + len(packet)) + header + packet)
                time.sleep(seconds / len(packets))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"rtsp://me:secret@127.0.0.1:{server.server_address[1]}/live", requests
        server.shutdown()
