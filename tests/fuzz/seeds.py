#!/usr/bin/env python3
"""Writes tests/fuzz/seeds, the first inputs of each target. Run it after changing the meaning of a target's bytes."""
import pathlib
import shutil
import struct
import zlib

SEEDS = pathlib.Path(__file__).parent / "seeds"


def write(target, seeds):
    directory = SEEDS / target
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, seed in seeds.items():
        (directory / name).write_bytes(seed)


def frame(first, payload=b"", masked=True, key=b"\x37\xfa\x21\x3d"):
    mask = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        head = bytes([first, mask | length])
    elif length < 65536:
        head = bytes([first, mask | 126]) + struct.pack(">H", length)
    else:
        head = bytes([first, mask | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
MORE, LAST, BEGIN = 0x00, 0x80, 0x01

# The behaviour of the wire, how the request is cut into pieces, and the request.
good = [
    "GET /ws?id=7 HTTP/1.1",
    "Host: a:1",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def request(*lines, end="\r\n", rest=b"", ways=b"\0\0\0"):
    return ways + (end.join(lines) + end + end).encode() + rest


def without(name):
    return [line for line in good if not line.startswith(name)]


write(
    "http",
    {
        "good": request(*good),
        "in-pieces": request(*good, ways=b"\3\x12\x34"),
        "single-bytes": request(*good, ways=b"\0\xff\xff"),
        "line-feeds": request(*good, end="\n"),
        "early-frame": request(*good, rest=frame(TEXT, b"early")),
        "browser": request(*good, "Origin: https://a", "Sec-WebSocket-Protocol: a, b", "Cookie: c=d"),
        "extensions": request(*good, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        "post": request("POST /ws HTTP/1.1", *good[1:]),
        "old": request("GET /ws HTTP/1.0", *good[1:]),
        "other-version": request(*without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"),
        "no-host": request(*without("Host")),
        "no-upgrade": request(*without("Upgrade")),
        "no-key": request(*without("Sec-WebSocket-Key")),
        "body": request(*good, "Content-Length: 2", rest=b"hi"),
        "chunked": request(*good, "Transfer-Encoding: chunked"),
        "many": request(*good, *["X: y"] * 58),
        "half": request(*good)[:-2],
        # Two that libFuzzer found, in single bytes: a broken line before the end of the head.
        "nul-in-a-header": b"\0\xff\xff"
        + "\r\n".join(good[:3]).encode()
        + b"\r\0\x06pgrade: websocket\r\nSec-WebSocket\r\n",
        "version-in-pieces": b"\0\xff\xffGET /ws?id=7 HTTJws?id=7 HTTP/1.1\r\nHost: a:1\r\nConnectioe, et\r\nSec-W\n\r\n\r\n",
    },
)

telemetry = '{"id":"b7","celsius":21.5,"ok":true,"tags":[1,-2]}'
envelopes = {
    "usual": '{"ver":1,"type":"telemetry","ts":1732969200,"data":%s}' % telemetry,
    "spaces": '{ "ver" : 1 ,\n"type" : "telemetry" ,\t"ts" : 5 , "data" : {"id":"b\\u0037","celsius":1e3,"tags":[]} }',
    "data-first": '{"data":%s,"type":"telemetry"}' % telemetry,
    "other-order": '{"ts":5,"type":"a","ver":1,"data":[1]}',
    "ts-behind": '{"type":"a","ver":1,"data":[1],"ts":5}',
    "only-type": '{"type":"a"}',
    "escaped-type": '{"type":"a\\u0062","data":null}',
    "text": '{"ver":1,"type":"a","ts":0,"data":"text \\u00fc \\ud83d\\ude00"}',
    "number": '{"ver":1,"type":"a","ts":0,"data":-12.5e-3}',
    "array": '{"ver":1,"type":"a","ts":0,"data":[1,2,3],"id":9}',
    "map": '{"ver":7,"type":"a","ts":-1,"data":{"a":[1,null],"b":[]}}',
    "nothing": '{"ver":1,"type":"a","ts":0,"data":null}',
    "twice": '{"ver":1,"type":"a","type":"b","data":1}',
    "reserved": '{"ver":1,"type":"__raw__","ts":0,"data":{}}',
    "control-character": '{"ver":1,"type":"a\nb","ts":0,"data":1}',
    "big-numbers": '{"ver":4294967296,"type":"a","ts":9223372036854775808,"data":1}',
    "leading-zero": '{"ver":01,"type":"a","ts":00,"data":1}',
    "deep": '{"type":"a","data":' + "[" * 130 + "]" * 130 + "}",
    "cut": '{"ver":1,"type":"a","ts":0,"data":{"a":1}',
    "bytes": '{"ver":1,"type":"a","ts":0,"data":"a\n\\n\\"b"}',
    "behind": '{"ver":1,"type":"a","ts":0,"data":1}}',
    "request": '{"ver":1,"type":"a","ts":0,"id":7,"ttl":10000,"data":1}',
    "request-late": '{"type":"a","data":{"id":1},"id":"x","ttl":0}',
    "reply": '{"ver":1,"type":"a","ts":0,"re":"a b","data":1}',
    "reply-escaped": '{"type":"a","data":1,"\\u0072e":7}',
    "failure": '{"ver":1,"type":"a","ts":0,"re":7,"err":{"code":"failed","message":"no"}}',
    "cancel": '{"ver":1,"type":"cancel","ts":0,"id":7,"err":{"code":"cancelled"}}',
    "report": '{"type":"a","err":[null]}',
    "null-id": '{"type":"a","id":null}',
    "null-err": '{"type":"a","err":null,"re":-0}',
    "fraction": '{"type":"a","id":1.5}',
    "long-id": '{"type":"a","id":"' + "x" * 128 + '"}',
    "two-ids": '{"type":"a","id":1,"id":1}',
}
write("envelope", {name: text.encode() for name, text in envelopes.items()})

# The behaviour of the wire (bit 0: a client reads), how much it accepts, how the bytes are cut into
# pieces, and the bytes.
conversations = {
    "text": lambda frame: frame(TEXT, b"hello") + frame(CLOSE, b"\x03\xe8bye"),
    "envelope": lambda frame: frame(TEXT, b'{"ver":1,"type":"a","ts":0,"data":1}') * 3 + frame(CLOSE),
    "binary": lambda frame: frame(BINARY, bytes(range(200))) + frame(CLOSE, b"\x0f\xa1"),
    "empty": lambda frame: frame(TEXT) + frame(BINARY) + frame(PING) + frame(PONG) + frame(CLOSE),
    "fragments": lambda frame: frame(BEGIN, b"one") + frame(PING, b"p") + frame(MORE, b"two") + frame(LAST, "ü".encode()),
    "pings": lambda frame: b"".join(frame(PING, bytes([n]) * n) for n in range(8)) + frame(CLOSE, b"\x03\xe9"),
    "longest": lambda frame: frame(TEXT, b"x" * 1000) + frame(TEXT, b"x" * 1001),
    "character": lambda frame: frame(BEGIN, b"\xc3") + frame(LAST, b"\xbc") + frame(TEXT, b"\xc3"),
    "reserved-bit": lambda frame: frame(TEXT, b"a") + frame(TEXT | 0x40, b"b"),
    "reserved-opcode": lambda frame: frame(0x83, b"b"),
    "long-ping": lambda frame: frame(PING, b"x" * 126),
    "bad-close": lambda frame: frame(CLOSE, b"\x03\xed") + frame(TEXT, b"behind"),
}
frames = {}
for name, conversation in conversations.items():
    frames[f"{name}-server"] = b"\0\0\0\0" + conversation(frame)
    frames[f"{name}-client"] = b"\1\0\x12\x34" + conversation(lambda *each: frame(*each, masked=False))
# Lengths that are not in their shortest form, and a top bit.
frames["long-form-server"] = b"\0\0\0\0" + b"\x81\xfe\0\x01" + b"\0" * 4 + b"x"
frames["longer-form-client"] = b"\1\0\0\0" + b"\x81\x7f" + struct.pack(">Q", 1) + b"x"
frames["top-bit-client"] = b"\1\0\0\0" + b"\x81\x7f" + struct.pack(">Q", 1 << 63) + b"x"
# The last header makes the message too long.
frames["too-long-server"] = b"\0\0\0\0" + frame(BEGIN, b"x" * 600) + frame(PING) + frame(LAST, b"x" * 401)[:8]
frames["bad-gateway-server"] = b"\0\0\0\0" + frame(TEXT, b"a") + frame(CLOSE, b"\x03\xf6gateway")
frames["cut-character-server"] = b"\0\0\0\0" + frame(BEGIN, b"\xe2\x82") + frame(MORE, b"\xac\xe2") + frame(MORE, b"x")
frames["unmasked-server"] = b"\0\0\0\0" + frame(TEXT, b"x", masked=False)
frames["masked-client"] = b"\1\0\0\0" + frame(TEXT, b"x")
frames["bytes-client"] = b"\1\0\xff\xff" + frame(BINARY, b"x" * 200, masked=False) + frame(CLOSE, masked=False)
frames["early-server"] = b"\4\6\0\0" + frame(TEXT, b"hello") + frame(TEXT, b"hello") + frame(CLOSE)
# Pieces of 700 bytes, so that more arrives at a time than a reader takes.
frames["long-server"] = b"\0\0\xdb\x66" + frame(TEXT, b"x" * 900) * 4 + frame(CLOSE)
frames["long-client"] = b"\1\0\xdb\x66" + frame(BINARY, b"x" * 900, masked=False) * 4 + frame(CLOSE, masked=False)
# Reserved bits, in a frame of which only the header arrives.
frames["broken-header-alone"] = b"x\x7f\x7f ay\x82"
frames["slow-server"] = b"\2\1\0\0" + frame(BINARY, b"x" * 900) * 5 + frame(CLOSE)


# Compressed messages: the payloads of one end.
def compressed(*messages, bits=15, context=True, level=9, strategy=zlib.Z_DEFAULT_STRATEGY):
    payloads, state = [], None
    for message in messages:
        if state is None or not context:
            state = zlib.compressobj(level, zlib.DEFLATED, -bits, 8, strategy)
        payloads.append((state.compress(message) + state.flush(zlib.Z_SYNC_FLUSH))[:-4])
    return payloads


def finished(message):
    state = zlib.compressobj(9, zlib.DEFLATED, -15)
    return state.compress(message) + state.flush()


RSV1 = 0x40
reading = b'{"ver":1,"type":"reading","ts":1732969200,"data":{"meter":"m-%d","volts":%d}}'
readings = [reading % (n, 230 + n) for n in range(6)]
block = zlib.compressobj(9, zlib.DEFLATED, -15)
two_blocks = block.compress(b"a" * 50) + block.flush(zlib.Z_FULL_FLUSH) + block.compress(b"b") + block.flush(zlib.Z_SYNC_FLUSH)
# The behaviour of the wire has bit 3 for compression, bit 4 for no context, and the window above.
small = {"bits": 9}
talks = {
    "context": (0x08, lambda frame: b"".join(frame(TEXT | RSV1, each) for each in compressed(*readings, **small))),
    "alone": (0x18, lambda frame: b"".join(frame(TEXT | RSV1, each) for each in compressed(*readings, context=False))),
    "mixed": (0x08, lambda frame: frame(TEXT, readings[0]) + frame(BINARY | RSV1, compressed(bytes(200))[0])),
    "fragments": (
        0xC8,
        lambda frame: frame(BEGIN | RSV1, compressed(*readings)[0][:20])
        + frame(PING, b"p")
        + frame(MORE, compressed(*readings)[0][20:30])
        + frame(LAST, compressed(*readings)[0][30:])
        + frame(TEXT | RSV1, compressed(*readings)[1]),
    ),
    "bomb": (0x08, lambda frame: frame(TEXT | RSV1, compressed(b"x" * 1000)[0]) + frame(TEXT | RSV1, compressed(b"x" * 1001)[0])),
    "later-part": (0x08, lambda frame: frame(BEGIN, b"a") + frame(LAST | RSV1, b"b")),
    "control": (0x08, lambda frame: frame(PING | RSV1, b"a")),
    "other-bit": (0x08, lambda frame: frame(TEXT | 0x20, b"a")),
    "damaged": (0x08, lambda frame: frame(TEXT | RSV1, b"\xff\xff")),
    "cut": (0x08, lambda frame: frame(TEXT | RSV1, compressed(readings[0])[0][:-3])),
    "not-text": (0x08, lambda frame: frame(TEXT | RSV1, compressed(b"\xff\xfe")[0])),
}
for name, (ways, talk) in talks.items():
    frames[f"deflate-{name}-server"] = bytes([ways, 0, 0, 0]) + talk(frame) + frame(CLOSE)
    client = lambda *each: frame(*each, masked=False)
    frames[f"deflate-{name}-client"] = bytes([ways | 1, 0, 0x12, 0x34]) + talk(client) + client(CLOSE)
write("frames", frames)


# The window and the context, the limit, and payloads: see src/inflate.rs.
def payloads(*each, bits=15, context=True, limit=0xFFFF):
    head = struct.pack(">BH", bits - 8 | (0 if context else 8), limit)
    return head + b"".join(struct.pack(">H", len(payload)) + payload for payload in each)


write(
    "inflate",
    {
        "context": payloads(*compressed(*readings)),
        "small-window": payloads(*compressed(*readings, bits=9), bits=9),
        "too-small-window": payloads(*compressed(bytes(range(256)) * 2, *readings, bytes(range(256))), bits=8),
        "alone": payloads(*compressed(*readings, context=False), context=False),
        "lost-context": payloads(*compressed(*readings), context=False),
        "fixed": payloads(*compressed(*readings, strategy=zlib.Z_FIXED)),
        "stored": payloads(*compressed(*readings, level=0)),
        "huffman": payloads(*compressed(*readings, strategy=zlib.Z_HUFFMAN_ONLY)),
        "long": payloads(*compressed(b"".join(readings) * 90, b"".join(readings) * 90, readings[0])),
        "again": payloads(*compressed(b"x" * 60000)) + b"\x80\0" * 20,
        "at-the-limit": payloads(*compressed(b"x" * 1000, b"x" * 1001), limit=1000),
        "last-block": payloads(finished(readings[0]) + b"\0", finished(readings[1]) + b"\0"),
        "last-blocks": payloads(finished(readings[0]) + b"\3\0" * 63 + b"\0", b"\3\0" * 70),
        "without-the-byte": payloads(finished(readings[0]), *compressed(readings[1])),
        "two-blocks": payloads(two_blocks[:-4]),
        "empty": payloads(b"\0", b"", b"\2\0", b"\0\0\0\xff\xff\0"),
        "within-a-block": payloads(compressed(readings[0])[0][:-2]),
        "rfc-7692": payloads(*map(bytes.fromhex, ["f248cdc9c90700", "f200110000", "f348cdc9c9070000", "f24805000000ffffcac9c90700"])),
    },
)


# The window, context and role, the level, the minimum length, and messages: see src/deflate.rs.
def messages(*each, bits=15, context=True, client=False, level=6, least=0):
    head = bytes([bits - 9 | (0 if context else 8) | (16 if client else 0), level - 1, least])
    return head + b"".join(each)


def sent(message, kind=0):
    return bytes([kind, len(message)]) + message


write(
    "deflate",
    {
        "context": messages(*map(sent, readings)),
        "client": messages(*map(sent, readings), client=True, bits=10),
        "alone": messages(*map(sent, readings), context=False),
        "batch": messages(*[sent(each, 4) for each in readings], bits=9),
        "mixed": messages(*[sent(each, n) for n, each in enumerate(readings)]),
        "long": messages(*[sent(each, 0xF0) for each in readings], bits=9),
        "again": messages(sent(readings[0], 0xF0), *[b"\x08"] * 8, level=1),
        "short": messages(sent(b"a"), sent(b""), sent(b"ab"), sent(b"a" * 63), sent(b"a" * 64), least=64),
        "other-bytes": messages(sent(bytes(range(255))), sent(bytes(range(255)))),
    },
)

# Three bytes for the options of each end, and the lines of the peer.
extensions = {
    "nothing": "",
    "plain": "permessage-deflate",
    "browser": "permessage-deflate; client_max_window_bits",
    "all": "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
    "two": "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits=\"12\"",
    "lines": "x-webkit-deflate-frame\npermessage-deflate",
    "twice": "permessage-deflate; client_no_context_takeover; client_no_context_takeover, Permessage-Deflate ; Server_Max_Window_Bits = 15",
    "bad": "permessage-deflate; server_max_window_bits=08, permessage-deflate; server_max_window_bits, permessage-deflate; x=\"1",
    "empty": "permessage-deflate;",
}
options = [b"\3\x0f\x0f\0\x0a\x0a", b"\1\x0a\x0a\1\x0a\x0a", b"\2\0\xff\2\x09\x0f"]
write(
    "extensions",
    {f"{name}-{n}": each + text.encode() for name, text in extensions.items() for n, each in enumerate(options)},
)


# The behaviour of the wire, how much it accepts, and steps: see `act` in src/close.rs.
def peer(first, payload=b""):
    return bytes([2, first, len(payload)]) + payload


def close(code, reason=b""):
    return b"\6" + struct.pack(">HB", code, len(reason)) + reason


write(
    "close",
    {
        "we-close": b"\0\0\0" + close(1000) + peer(CLOSE, b"\x03\xe8") + b"\0",
        "peer-closes": b"\0\0\0" + peer(TEXT, b"x") + peer(CLOSE, b"\x0f\xa0bye") + b"\7\0",
        "both-close": b"\1\0\0" + close(4001, b"ours") + peer(CLOSE, b"\x0f\xa2theirs") + b"\0",
        "silent-peer": b"\0\0\0" + b"\3\5" + close(1001, b"going") + b"\1",
        "messages-first": b"\2\0\x0a" + b"\3\x20" * 5 + b"\4\1\0" + b"\5abc" + close(1000) + b"\0",
        "deaf-peer": b"\6\0\x64" + b"\3\xff" * 4 + close(1000) + b"\1",
        "no-code": b"\1\0\0" + peer(CLOSE) + b"\7\0",
        "bad-code": b"\0\0\0" + close(1005) + peer(CLOSE, b"\x03\xed") + b"\0",
        "long-reason": b"\1\0\0" + close(3000, "ü".encode() * 100) + b"\0",
        "refused": b"\0\0\0" + b"\3\5" + peer(0x83, b"x") + b"\3\5" + close(1000) + b"\0",
        "waits": b"\0\0\0" + b"\x08\xff" + peer(PING, b"p") + b"\7" + b"\x08\x01" + close(1000) + b"\x08\xff" + b"\0",
        "half-a-frame": b"\0\0\0" + b"\1\3\x81\x85\x00" + close(1000) + b"\0",
    },
)

# The behaviour of the wire (bit 0: subprotocols are requested), how the answer is cut into pieces,
# and the answer. `{accept}` becomes the right value.
accepted = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}"]
write(
    "answer",
    {
        "good": request(*accepted),
        "in-pieces": request(*accepted, ways=b"\2\x12\x34"),
        "single-bytes": request(*accepted, rest=b"\x81\0", ways=b"\0\xff\xff"),
        "line-feeds": request(*accepted, end="\n"),
        "early-frame": request(*accepted, rest=frame(TEXT, b"early", masked=False)),
        "subprotocol": request(*accepted, "Sec-WebSocket-Protocol: v1", ways=b"\1\0\0"),
        "other-subprotocol": request(*accepted, "Sec-WebSocket-Protocol: v3", ways=b"\1\0\0"),
        "without-subprotocol": request(*accepted, ways=b"\1\0\0"),
        "extension": request(*accepted, "Sec-WebSocket-Extensions: permessage-deflate"),
        "lists": request(accepted[0], "Upgrade: WebSocket", "Connection: keep-alive, upgrade", accepted[3]),
        "other-upgrade": request(accepted[0], "Upgrade: websocket, h2c", *accepted[2:]),
        "wrong-accept": request(*accepted[:3], "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "two-accepts": request(*accepted, accepted[3]),
        "old": request("HTTP/1.0 101 Switching Protocols", *accepted[1:]),
        "without-reason": request("HTTP/1.1 101", *accepted[1:]),
        "busy": request("HTTP/1.1 503 Service Unavailable", "Retry-After: 7", "Content-Length: 2", rest=b"no"),
        "redirect": request("HTTP/1.1 301 Moved", "Location: ws://b/"),
        "continue": request("HTTP/1.1 100 Continue", rest=request(*accepted)[3:]),
        "empty-line": request("", *accepted),
        "many": request(*accepted, *["X: y"] * 61),
        "long": request(*accepted, "X: " + "y" * 17000),
        "ssh": b"\0\0\0SSH-2.0-OpenSSH_9.2\r\n",
        "half": request(*accepted)[:-2],
    },
)

urls = {
    "usual": "ws://station.example:9001/ws?id=7",
    "secure": "wss://station.example/ws",
    "upper-case": "WS://Station.Example/WS",
    "short": "ws://a",
    "query": "ws://a?id=7",
    "fragment": "ws://a:80/ws#here",
    "address": "ws://127.0.0.1:65535/",
    "address-6": "ws://[::1]:9001/ws",
    "no-address-6": "ws://[a]:9001/ws",
    "zone": "ws://[fe80::1%25eth0]:9001/ws",
    "bare-zone": "ws://[fe80::1%eth0]/ws",
    "escaped-zone": "ws://[fe80::1%25a%40%0d]/ws",
    "empty-port": "ws://a:/ws",
    "plus-port": "ws://a:+80/ws",
    "zero-port": "ws://a:00",
    "high-port": "ws://a:65536",
    "credentials": "ws://user:pass@a/ws",
    "space": "ws://a b/ws",
    "line": "ws://a/ws\r\nHost: b",
    "escape": "ws://a/%20?%00",
    "letters": "ws://ü.example/ü",
    "no-scheme": "localhost:80/ws",
    "other-scheme": "http://a/ws",
}
write("url", {name: url.encode() for name, url in urls.items()})

# The rule (0: the same origin, 1: a list), the host, and origins.
origins = {
    "same": "\0ops.example.com\nhttps://ops.example.com",
    "port": "\0OPS.example.com:443\nhttps://ops.example.com",
    "own-port": "\0localhost:3000\nhttp://localhost:3000",
    "address-6": "\0[::1]:3000\nhttp://[::1]:3000",
    "other-port": "\0localhost\nhttp://localhost:3000",
    "longer": "\0ops.example.com\nhttps://ops.example.com.evil",
    "user": "\0ops.example.com\nhttps://x@ops.example.com",
    "path": "\0ops.example.com\nhttps://ops.example.com/",
    "null": "\0localhost\nnull",
    "two": "\0a\nhttp://a\nhttp://b",
    "without": "\0a",
    "empty": "\0\nhttp://",
    "port-in-scheme": "\0a:1\nhttp:443://a:1",
    "other-scheme": "\0a:1\next://a:1",
    "listed": "\1a\nhttps://ops.example.com:443",
    "not-listed": "\1a\nhttp://ops.example.com",
    "listed-address": "\1a\nhttp://[::1]:81",
}
write("origin", {name: text.encode() for name, text in origins.items()})


# The wire, the interval, the timeout, how much the peer takes, and steps: see `act` in
# src/heartbeat.rs.
def beats(*steps, ways=0, interval=10, wait=10, most=0):
    return struct.pack(">BBBH", ways, interval, wait, most) + b"".join(steps)


def wait(milliseconds):
    return b"\7" + struct.pack(">H", milliseconds)


def send(length):
    return b"\4" + struct.pack(">H", length)


def take(length):
    return b"\5" + struct.pack(">H", length)


pong = b"\1"
write(
    "heartbeat",
    {
        "silent": beats(),
        "silent-client": beats(ways=1),
        "answers": beats(*[wait(3500) + pong] * 8),
        "answers-late": beats(*[wait(4500) + pong] * 4),
        "trickles": beats(*[b"\0" + bytes([each]) + wait(3000) for each in b"\x81\x85\0\0\0\0hello"]),
        "takes-slowly": beats(send(900), *[wait(3000) + take(100)] * 10, ways=2, most=10),
        "takes-nothing": beats(send(900), *[wait(3000) + pong] * 4, ways=2, most=10),
        "takes-at-the-end": beats(send(900), wait(6900), take(1), wait(6900), take(1), ways=2),
        "pings": beats(*[b"\2ab" + wait(2000)] * 4, ways=1),
        "closes": beats(wait(3500), b"\3\x88\2\x03\xe8", wait(1000)),
        "broken": beats(wait(3500), b"\3\x83\1x", wait(1000)),
        "hasty": beats(*[pong + b"\6\1"] * 20, interval=0, wait=0),
    },
)


# The wire and the bounds, and steps: see `act` in src/requests.rs. The high bits of a step choose
# the type: double, wait, fail, note, ask, nothing, cancel, done.
def asks(*steps, ways=0, most=9, backlog=9):
    return bytes([ways, most, backlog]) + b"".join(steps)


def step(number, kind=0, rest=b""):
    return bytes([kind << 4 | number]) + rest


write(
    "requests",
    {
        "request": asks(*[step(1, kind, bytes([kind, 0, 5])) for kind in range(8)]),
        "client": asks(*[step(1, kind, bytes([kind, 0, 5])) for kind in range(8)], ways=1),
        "slowly": asks(*[step(1, kind, bytes([kind, 0, 5])) for kind in range(8)], ways=2, backlog=0),
        "ids": asks(*[step(1, 0, bytes([n, shape, 5])) for shape in range(11) for n in (3, 130)]),
        "late-keys": asks(*[step(4, kind, bytes([kind, 6, 5])) for kind in range(8)]),
        "deadlines": asks(step(3, 1, b"\1\0\0\0\5"), step(3, 1, b"\2\0\0\1\5"), step(1, 1, b"\3\0\5")),
        "asked": asks(step(10), step(14), step(5, 0, b"\1\0\7"), step(5, 0, b"\1\0\7")),
        "failed": asks(step(10), step(14), step(7, 0, b'\1\0\x0f{"code":"busy"}')),
        "asks-back": asks(step(1, 4, b"\5\0\1"), step(14), step(1, 0, b"\6\0\1"), step(5, 0, b"\1\0\1")),
        "nested": asks(*[step(1, 4, bytes([n, 0, 2])) + step(14) for n in range(9)], step(5, 0, b"\4\0\1")),
        "cancelled": asks(step(1, 1, b"\1\0\xff"), step(1, 1, b"\2\0\xff"), step(14), step(8, 0, b"\2\0")),
        "dropped": asks(*[step(11, 0, bytes([n])) for n in range(4)]),
        "flood": asks(step(1, 1, b"\1\0\xff"), step(9, 1, b"\0\0\1\0")),
        "flood-while-asking": asks(step(1, 4, b"\1\0\2"), step(9, 0, b"\0\0\1\0"), step(5, 0, b"\1\0\1"), most=15),
        "flood-of-asks": asks(step(9, 4, b"\0\0\0\x60"), most=15, ways=2),
        "no-requests": asks(step(10), step(1, 0, b"\1\0\1"), most=0),
        "plain": asks(*[step(12, kind, b"\5") for kind in range(8)], ways=64),
        "closed": asks(step(1, 1, b"\1\0\xff"), step(10), step(13), step(1, 0, b"\2\0\1")),
        "raw": asks(step(0, 0, b"\x17" + b'{"type":"wait","id":10}')),
    },
)

# A byte for the files, one for the write-ahead log, and edits: how, the place and a byte. Or a byte
# for the records, and these.
edit = struct.Struct(">BHBB").pack
head = '{"type":"order","delivery":1,"ttl":3600000,"at":1700000000000,"expires":1700003600000}'
message = '{"ver":1,"type":"order","ts":1732969200,"data":{"n":1}}'
records = [
    "epoch\n9f3a01c2",
    'clock\n{"ms":1700000000000,"wall":1700000000}',
    f"out/box-7/seq/17\n{head}\n{message}",
    f"out/a%2Fb/latest/3\n{head.replace('1,', '3,', 1)}\n{message}",
    'out/box-7/skip/12\n{"to":16,"why":"expired"}',
    'in/box-7/0a1b2c3d\n{"seq":5,"latest":2}',
    'state/box-7/reported\n{"at":1700000000000}\n{"n":2}',
]
write(
    "store",
    {
        "whole": b"\0\0",
        "whole-log": b"\0\1",
        "header": b"\0\0" + edit(2, 0, 60, 1),
        "version": b"\0\0" + edit(6, 0, 62, 7),
        "page": b"\0\0" + edit(4, 0x20, 0, 0xA5),
        "value": b"\0\0" + edit(2, 0x2F, 0xF0, 0),
        "cut": b"\0\0" + edit(0, 0x10, 0, 0),
        "log-header": b"\0\1" + edit(3, 0, 16, 1),
        "log-cut": b"\0\1" + edit(1, 0x20, 0, 0),
        "log-frame": b"\0\1" + edit(7, 0x30, 0, 9),
        "both": b"\0\1" + edit(2, 0x20, 7, 3) + edit(3, 0x40, 7, 3),
        "records": b"\1" + "\0".join(records).encode(),
        **{f"record-{n}": b"\1" + record.encode() for n, record in enumerate(records)},
    },
)
