#!/usr/bin/env python3
"""How fast the audit log reaches each kind of sink, and what that costs: `./dev lab sinks`.

    lab/sinks.py EXECUTABLE [--events 100000] [--parts .parts] [SINK...]

A log of about so many events is written once, by traffic of lab/train.py. For each sink the gateway is then started on the
first core with that sink alone, which begins with the oldest event, and serves nothing else; the receiver runs on the
second core. Time is from `ready` to the delivered counter reaching the log's events, cost is the gateway's own user
and system time over that. Receivers that are not real say `stand-in`: they read, answer as the protocol wants, keep nothing.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
KEY = "labkey-0123456789abcdef"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, seconds=120):
    for _ in range(seconds * 20):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


# ------------------------------------------------------------------ receivers that are not real


def read_all(connection):
    buffer = bytearray(1 << 20)
    while connection.recv_into(buffer):
        pass


def answer_http(connection, reply):
    stream = connection.makefile("rb", 1 << 20)
    while first := stream.readline():
        fields = {}
        while (line := stream.readline().strip()):
            name, _, value = line.decode("latin1").partition(":")
            fields[name.lower()] = value.strip()
        body = stream.read(int(fields.get("content-length", 0)))
        said = reply(first.split()[1].decode(), fields, body).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
        connection.sendall(head.encode() + said)


def bulk(path, fields, body):
    if not path.startswith("/_bulk"):
        return '{"version": {"number": "8.15.0"}}' if path == "/" else '{"acknowledged": true}'
    lines = (gzip.decompress(body) if fields.get("content-encoding") == "gzip" else body).count(b"\n")
    return '{"items": [' + ",".join(['{"create": {"status": 201}}'] * (lines // 2)) + "]}"


def collected(_path, _fields, _body):
    return '{"text": "Success", "code": 0}'


def listening(serve):
    """A receiver in a process of its own on the second core; its port, and what ends it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {1})
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
    port = listener.getsockname()[1]
    listener.close()

    def end():
        os.kill(child, 9)
        os.waitpid(child, 0)

    return port, end


# ------------------------------------------------------------------ receivers that are real


def running(command, port, **more):
    devnull = subprocess.DEVNULL
    child = subprocess.Popen(["taskset", "-c", "1", *command], stdin=devnull, stdout=devnull, stderr=devnull, **more)
    wait_for(port)

    def end():
        child.kill()
        child.wait()

    return port, end


def opensearch(parts, folder):
    part, port = parts / "opensearch", free_port()
    classes = f"{part}:{part}/lib/*"
    return running(["java", "-Xms1g", "-Xmx1g", "-cp", classes, "OpenSearch", str(port), str(folder)], port)


def ferretdb(parts, folder):
    port = free_port()
    return running([str(parts / "ferretdb/ferretdb"), str(port), str(folder)], port)


def fluentd(parts, _folder):
    port, script = free_port(), HERE.parent / "tests/parts/fluentd/receiver.js"
    environment = {**os.environ, "NODE_PATH": str(parts / "fluentd/node_modules")}
    return running(["node", str(script), str(port), ""], port, env=environment)


# ------------------------------------------------------------------ sinks


def stand_in(serve):
    return lambda _parts, _folder: listening(serve)


def http(reply):
    return stand_in(lambda connection: answer_http(connection, reply))


def nobody(_parts, _folder):
    return 0, lambda: None


SINKS = {
    # name: (receiver, how it is started, the sink's section for its port)
    "file": ("a file, synced each batch", nobody, lambda port: {"file": {"path": "copy.jsonl", "bytes_max": 1 << 34}}),
    "syslog": ("stand-in", stand_in(read_all), lambda port: {"syslog": {"address": f"127.0.0.1:{port}"}}),
    "syslog-cef": ("stand-in", stand_in(read_all), lambda port: {"syslog": {"address": f"127.0.0.1:{port}", "format": "cef"}}),
    "logstash-tcp": ("stand-in", stand_in(read_all), lambda port: {"logstash": {"address": f"127.0.0.1:{port}"}}),
    "logstash-http": ("stand-in", http(collected), lambda port: {"logstash": {"url": f"http://127.0.0.1:{port}"}}),
    "fluentd": ("FluentServer of @fluent-org/logger", fluentd, lambda port: {"fluentd": {"address": f"127.0.0.1:{port}"}}),
    "mongodb": ("FerretDB on SQLite", ferretdb, lambda port: {"mongodb": {"uri": f"mongodb://127.0.0.1:{port}/"}}),
    "elasticsearch": ("OpenSearch, one node", opensearch, lambda port: {"elasticsearch": {"url": f"http://127.0.0.1:{port}"}}),
    "elasticsearch-bulk": ("stand-in", http(bulk), lambda port: {"elasticsearch": {"url": f"http://127.0.0.1:{port}"}}),
    "splunk": ("stand-in", http(collected), lambda port: {"splunk": {"url": f"http://127.0.0.1:{port}", "token": {"file": "token"}}}),
}


def configuration(folder, upstream, sinks):
    public, admin = free_port(), free_port()
    file = {
        "version": 1,
        "data_dir": "data",
        "threads": 1,
        "listeners": [{"name": "public", "address": f"127.0.0.1:{public}", "protocol": "http1"}],
        "admin": {"address": f"127.0.0.1:{admin}"},
        "protocol": {"connections_per_address_max": 10000},
        "auth": {"opaque_keys": True, "failures_per_minute_max": 0},
        "plans": [{"name": "lab"}],
        "clusters": [{"name": "rocketgraph", "endpoints": [{"address": f"127.0.0.1:{upstream}"}]}],
        "routes": [
            {"name": "graph-query", "path": "/v1/graphs/{graph_id}/query", "kind": "query",
             "graph_id": {"path": "graph_id"}, "query_text": "$.query"},
            {"name": "other", "path": "/{*rest}"},
        ],
        "rules": {"directory": str(HERE.parent / "rules")},
        "audit": {"sinks": sinks},
        "telemetry": {"log_level": "warn"},
    }
    (folder / "gateway.yaml").write_text(json.dumps(file, indent=1))
    return public, admin


def start(executable, folder):
    command = ["taskset", "-c", "0", executable, "run", "--quiet", "-c", "gateway.yaml"]
    gateway = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    if gateway.stdout.readline() != b"ready\n":
        raise SystemExit("the gateway did not get ready")
    return gateway


def stop(gateway):
    gateway.terminate()
    if gateway.wait() != 0:
        raise SystemExit("the gateway did not end well")


def write_log(executable, folder, events):
    upstream = free_port()
    helper = subprocess.Popen([sys.executable, str(HERE / "upstream.py"), f"127.0.0.1:{upstream}"])
    wait_for(upstream)
    public, _ = configuration(folder, upstream, [])
    (folder / "keys.csv").write_text(f"key,organization_id,name\n{KEY},lab,lab\n")
    (folder / "token").write_text("hec-token\n")
    keys = ["keys", "import", "keys.csv", "--data-dir", "data", "--plan", "lab", "--scopes", "*", "--limits-exempt"]
    subprocess.run([executable, *keys], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    gateway = start(executable, folder)
    subprocess.run([sys.executable, str(HERE / "train.py"), f"127.0.0.1:{public}", KEY, str(events)], check=True)
    stop(gateway)
    helper.kill()
    helper.wait()
    exported = subprocess.run([executable, "audit", "export", "--data-dir", "data"], cwd=folder, check=True, capture_output=True)
    return exported.stdout.count(b"\n")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def delivered(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
        metrics = answer.read().decode()
    counted = re.search(r'rg_audit_sink_events_total\{sink="[^"]*",outcome="delivered"\} (\d+)', metrics)
    return int(counted[1]) if counted else 0


def measure(executable, folder, parts, name, events):
    receiver, started, section = SINKS[name]
    store = pathlib.Path(tempfile.mkdtemp())
    port, end = started(parts, store)
    try:
        sink = {"name": f"{name}-{time.time_ns()}", "timeout_ms": 60_000, **section(port)}
        _, admin = configuration(folder, 9, [sink])
        gateway = start(executable, folder)
        begun, cpu = time.monotonic(), cpu_seconds(gateway.pid)
        while delivered(admin) < events:
            time.sleep(0.05)
        took, cpu = time.monotonic() - begun, cpu_seconds(gateway.pid) - cpu
        memory = memory_mib(gateway.pid)
        stop(gateway)
        (folder / "copy.jsonl").unlink(missing_ok=True)
        print(f"| `{name}` | {receiver} | {events / took:,.0f} | {cpu / events * 1e6:.1f} | {memory:.0f} |", flush=True)
    finally:
        end()
        shutil.rmtree(store)


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("executable", type=pathlib.Path)
    asked.add_argument("--events", type=int, default=100_000)
    asked.add_argument("--parts", type=pathlib.Path, default=HERE.parent / ".parts")
    asked.add_argument("sinks", nargs="*", default=list(SINKS), metavar="SINK")
    asked = asked.parse_intermixed_args()
    executable = str(asked.executable.resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        events = write_log(executable, folder, asked.events)
        size = sum(file.stat().st_size for file in (folder / "data/audit").glob("*.seg"))
        print(f"{events} events, {size / events:.0f} bytes each in the log\n")
        print("| sink | receiver | events/s | CPU µs/event | memory MiB |\n|---|---|---|---|---|")
        for name in asked.sinks:
            measure(executable, folder, asked.parts.resolve(), name, events)


if __name__ == "__main__":
    main()
