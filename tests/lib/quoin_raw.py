# SPDX-License-Identifier: Apache-2.0
"""Signed requests by hand, for what client libraries refuse to send.

    from quoin_raw import Raw, chunked, Answer
    raw = Raw()
    a = raw.request("PUT", "/bucket/key", body=b"...", headers={...}, query={...})
    a.status, a.headers, a.body, a.code (of an S3 error)

request() signs with SigV4; every part of the signature can be spoiled by an argument. send() takes bytes as they are.
"""
import base64
import datetime
import hashlib
import hmac
import os
import re
import socket
import struct
import urllib.parse
import zlib

ACCESS = os.environ.get("AWS_ACCESS_KEY_ID", "")
SECRET = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA = hashlib.sha256(b"").hexdigest()


def quote(text, safe="/"):
    return urllib.parse.quote(text, safe=safe + "-_.~")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


# --- checksums ---------------------------------------------------------------------------------------------------------

def reflected_table(poly, bits):
    table = []
    for i in range(256):
        r = i
        for _ in range(8):
            r = (r >> 1) ^ (poly if r & 1 else 0)
        table.append(r & ((1 << bits) - 1))
    return table


CRC32C_TABLE = reflected_table(0x82F63B78, 32)
CRC64NVME_TABLE = reflected_table(0x9A6C9329AC4BC9B5, 64)


def crc(table, bits, data):
    mask = (1 << bits) - 1
    r = mask
    for b in data:
        r = (r >> 8) ^ table[(r ^ b) & 0xFF]
    return r ^ mask


def b64(data):
    return base64.b64encode(data).decode()


def checksum(kind, data):
    """The value of x-amz-checksum-KIND."""
    if kind == "crc32":
        return b64(struct.pack(">I", zlib.crc32(data)))
    if kind == "crc32c":
        return b64(struct.pack(">I", crc(CRC32C_TABLE, 32, data)))
    if kind == "crc64nvme":
        return b64(struct.pack(">Q", crc(CRC64NVME_TABLE, 64, data)))
    return b64(hashlib.new(kind, data).digest())


CHECKSUMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")


# --- one request -------------------------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        m = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return m.group(1).decode() if m else ""

    def __repr__(self):
        return f"{self.status} {self.code} {self.body[:300]!r}"


class Raw:
    def __init__(self, url=None, access=ACCESS, secret=SECRET, region=REGION):
        u = urllib.parse.urlsplit(url or os.environ["S3_URL"])
        self.host, self.port = u.hostname, u.port
        self.access, self.secret, self.region = access, secret, region

    def connect(self, timeout=60):
        s = socket.create_connection((self.host, self.port), timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def signing_key(self, day):
        k = mac(("AWS4" + self.secret).encode(), day)
        return mac(mac(mac(k, self.region), "s3"), "aws4_request")

    def now(self, skew=0):
        t = datetime.datetime.utcnow() + datetime.timedelta(seconds=skew)
        return t.strftime("%Y%m%dT%H%M%SZ")

    def scope(self, when):
        return f"{when[:8]}/{self.region}/s3/aws4_request"

    def signature(self, when, canonical):
        text = f"AWS4-HMAC-SHA256\n{when}\n{self.scope(when)}\n{sha256(canonical.encode())}"
        return hmac.new(self.signing_key(when[:8]), text.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def canonical_query(query):
        pairs = sorted((quote(k, ""), quote(v, "")) for k, v in query.items())
        return "&".join(f"{k}={v}" for k, v in pairs)

    def head(self, method, path, query=None, headers=None, payload=EMPTY_SHA, when=None, skew=0, sign=True,
             unsigned_headers=None, raw_path=None):
        """The head of a signed request as text, and (time, signature) for what follows."""
        query, when = query or {}, when or self.now(skew)
        h = {k.lower(): v for k, v in (headers or {}).items()}
        h.setdefault("host", f"{self.host}:{self.port}")
        h.setdefault("x-amz-date", when)
        h.setdefault("x-amz-content-sha256", payload)
        target = raw_path or quote(path)
        q = self.canonical_query(query)
        names = ";".join(sorted(h))
        canonical = "\n".join([method, target, q, "".join(f"{k}:{' '.join(h[k].split())}\n" for k in sorted(h)), names,
                               h["x-amz-content-sha256"]])
        signature = self.signature(when, canonical)
        if sign is True:
            h["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(when)}, "
                                  f"SignedHeaders={names}, Signature={signature}")
        elif sign:
            h["authorization"] = sign
        h.update(unsigned_headers or {})
        lines = [f"{method} {target}{'?' + q if q else ''} HTTP/1.1"] + [f"{k}: {v}" for k, v in h.items()]
        return "\r\n".join(lines) + "\r\n\r\n", when, signature

    def request(self, method, path, query=None, headers=None, body=b"", payload=None, length=None, **spoil):
        """Sends it whole; payload None: the body's SHA-256; length: another Content-Length ("" for none)."""
        h = dict(headers or {})
        unsigned = dict(spoil.pop("unsigned_headers", None) or {})
        if length is None and (body or method in ("PUT", "POST")):
            length = len(body)
        if length not in (None, ""):
            unsigned["content-length"] = str(length)
        head, _, _ = self.head(method, path, query, h, payload or sha256(body), unsigned_headers=unsigned, **spoil)
        return self.send(head.encode() + body, method)

    def send(self, data, method="GET", half_close=False, timeout=20):
        s = self.connect(timeout)
        try:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return self.receive(s, method)
        finally:
            s.close()

    @staticmethod
    def receive(s, method="GET"):
        """Reads one answer; None when the connection ended without one."""
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = s.recv(65536)
                    if not more:
                        return None
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")
                status = int(lines[0].split()[1])
                if status != 100:
                    break
            headers = {}
            for line in lines[1:]:
                k, v = line.split(":", 1)
                headers[k.strip().lower()] = v.strip()
            if method == "HEAD" or status in (204, 304):
                return Answer(status, headers, b"")
            if headers.get("transfer-encoding", "").lower() == "chunked":
                return Answer(status, headers, Raw.unchunk(s, data))
            want = int(headers["content-length"]) if "content-length" in headers else None
            while want is None or len(data) < want:
                more = s.recv(1 << 20)
                if not more:
                    break
                data += more
            return Answer(status, headers, data)
        except (ConnectionResetError, BrokenPipeError):
            return None

    @staticmethod
    def unchunk(s, data):
        out = b""
        while True:
            while b"\r\n" not in data:
                data += s.recv(65536)
            size, data = data.split(b"\r\n", 1)
            n = int(size.split(b";")[0], 16)
            while len(data) < n + 2:
                data += s.recv(65536)
            out, data = out + data[:n], data[n + 2:]
            if n == 0:
                return out

    # --- aws-chunked ------------------------------------------------------------------------------------------------

    def chunked(self, path, body, payload, chunk=65536, trailers=None, headers=None, spoil=None, method="PUT", query=None,
                decoded=None, cut=None):
        """PUTs an aws-chunked body. spoil(index, chunk header, data) may return other ones; cut: send only so many bytes."""
        h = dict(headers or {})
        h["content-encoding"] = "aws-chunked"
        h["x-amz-decoded-content-length"] = str(len(body) if decoded is None else decoded)
        if trailers:
            h["x-amz-trailer"] = ",".join(trailers)
        head, when, seed = self.head(method, path, query, h, payload)
        key, previous, out = self.signing_key(when[:8]), seed, b""
        signed = payload in (STREAMING, STREAMING_TRAILER)

        def chunk_signature(kind, digest):
            text = f"{kind}\n{when}\n{self.scope(when)}\n{previous}\n{digest}"
            return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

        pieces = [body[i:i + chunk] for i in range(0, len(body), chunk)] + [b""]
        for i, piece in enumerate(pieces):
            line = f"{len(piece):x}"
            if signed:
                previous = chunk_signature("AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA + "\n" + sha256(piece))
                line += f";chunk-signature={previous}"
            if spoil:
                line, piece = spoil(i, line, piece)
            out += line.encode() + b"\r\n" + piece
            if piece or not trailers:
                out += b"\r\n"
        if trailers:
            text = "".join(f"{k}:{v}\n" for k, v in trailers.items())
            out += "".join(f"{k}:{v}\r\n" for k, v in trailers.items()).encode()
            if signed:
                out += f"x-amz-trailer-signature:{chunk_signature('AWS4-HMAC-SHA256-TRAILER', sha256(text.encode()))}\r\n".encode()
            out += b"\r\n"
        head = head[:-2] + f"content-length: {len(out)}\r\n\r\n"
        if cut is not None:
            return self.send(head.encode() + out[:cut], method, half_close=True)
        return self.send(head.encode() + out, method)

    def presign(self, method, path, query=None, expires=60, skew=0):
        when = self.now(skew)
        q = dict(query or {})
        q.update({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{self.scope(when)}",
                  "X-Amz-Date": when, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": "host"})
        canonical = "\n".join([method, quote(path), self.canonical_query(q), f"host:{self.host}:{self.port}\n", "host",
                               UNSIGNED])
        q["X-Amz-Signature"] = self.signature(when, canonical)
        return q
