#!/usr/bin/env python3
"""Sends the traffic of a working day, by a seed, to the gateway of `./dev lab serve`: the training run of `./dev pgo`.

    lab/train.py 127.0.0.1:18200 labkey-0123456789abcdef 40000

Most of it is honest: lists, records, parametrised and literal Cypher, uploads, notes in bulk. A little is refused. What the answers
are is of no interest here; the tests ask that.
"""
import http.client
import json
import random
import sys

CONNECTIONS = 8
NAMES = ["Ada Lovelace", "Grace O'Neill", "Jürgen Groß", "王小明", "María-José Ñuñez", "Chidi Okonkwo"]
LABELS = ["Person", "Company", "City", "Invoice", "Device", "Document"]
EDGES = ["KNOWS", "WORKS_AT", "LOCATED_IN", "PAID", "OWNS", "CITES"]
STATEMENTS = [
    "MATCH (a:{0} {{name: $name}})-[r:{2}]->(b:{1}) WHERE r.since >= $since RETURN b.name, count(*) AS n ORDER BY n DESC LIMIT 20",
    "MATCH (a:{0}) WHERE a.created > {3} AND a.city IN ['Berlin', 'Oslo'] RETURN a {{.id, .name}} SKIP {3} LIMIT 50",
    "MATCH p = shortestPath((a:{0} {{id: $from}})-[:{2}*..6]-(b:{1} {{id: $to}})) RETURN length(p)",
    "MERGE (a:{0} {{id: $id}}) ON CREATE SET a.created = timestamp(), a.n = {3} ON MATCH SET a.seen = a.seen + 1 RETURN a.id",
    "UNWIND $rows AS row MATCH (a:{0} {{id: row.from}}), (b:{1} {{id: row.to}}) CREATE (a)-[:{2} {{w: row.w}}]->(b)",
    "CALL {{ MATCH (a:{0}) RETURN a UNION MATCH (a:{1}) RETURN a }} WITH a WHERE exists((a)-[:{2}]->()) RETURN count(a)",
]
ATTACKS = ["/v1/items?q=1%27%20OR%20%271%27=%271", "/v1/items?next=..%2f..%2f..%2fetc%2fpasswd", "/v1/x?q=<script>alert(1)</script>"]


def statement(rng):
    return rng.choice(STATEMENTS).format(rng.choice(LABELS), rng.choice(LABELS), rng.choice(EDGES), rng.randrange(10_000))


def query(rng):
    fixed = random.Random(rng.randrange(20)) if rng.random() < 0.6 else rng
    rows = [{"from": rng.randrange(9_999), "to": rng.randrange(9_999), "w": rng.random()} for _ in range(rng.randrange(6))]
    values = {"name": rng.choice(NAMES), "since": rng.randrange(1990, 2030), "from": 1, "to": 2, "id": rng.randrange(9_999), "rows": rows}
    body = {"query": statement(fixed), "parameters": values, "timeout_ms": 2_500, "read_only": rng.random() < 0.5}
    return "POST", f"/v1/graphs/g-{rng.randrange(40)}/query", json.dumps(body, ensure_ascii=rng.random() < 0.5)


def listing(rng):
    what = rng.choice(["graphs", "items", "reports/daily", f"users/{rng.randrange(500)}"])
    asked = f"limit={rng.choice([10, 25, 100])}&label={rng.choice(LABELS)}&sort=-updated_at&cursor={rng.randrange(1 << 40):x}"
    return "GET", f"/v1/{what}?{asked}" if rng.random() < 0.8 else f"/v1/{what}", None


def record(rng):
    text = " ".join(rng.choice(["Please", "review", "the", "order", "of", "last", "week,", "thanks!", "(urgent)"]) for _ in range(60))
    body = {"name": rng.choice(NAMES), "tags": LABELS[:3], "note": text, "active": True, "score": rng.random()}
    return rng.choice(["POST", "PUT", "PATCH"]), f"/v1/items/{rng.randrange(999)}", json.dumps(body)


def upload(rng):
    lines = ("".join(f"{rng.randrange(9_999)},{rng.choice(NAMES)},{rng.random():.4f}\n") for _ in range(rng.randrange(50, 2_000)))
    return "POST", "/v1/upload", "id,name,score\n" + "".join(lines)


NOTES = [
    "R&D; {0} or {1} (2nd floor)",
    "# Notes {0}\n\nUse `ls -la` and see. It's *fine*; see [docs](https://example.com/a?b={0}&c=d).\n",
    "<p>Hello <b>you</b>, <a href=\"https://example.com/?a={0}&amp;b={1}\">this</a></p>",
    "let x = vec![{0}, {1}]; println!(\"{{}} = {{:?}}\", x[0], &x); // it's a test",
    "https://example.com/items/{0}?sort=name&page={1}",
    "O'Neill & Sons, 100% sure; call (0 30) {0}",
]


def bulk(rng):
    notes = [rng.choice(NOTES).format(rng.randrange(9_999), rng.randrange(99)) for _ in range(rng.randrange(20, 800))]
    return "POST", "/v1/items/bulk", json.dumps([{"id": at, "note": note} for at, note in enumerate(notes)])


def attack(rng):
    return "GET", rng.choice(ATTACKS), None


def main():
    address, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = random.Random(20)
    connections = [http.client.HTTPConnection(address, timeout=30) for _ in range(CONNECTIONS)]
    kinds = rng.choices([listing, query, record, upload, bulk, attack], [42, 45, 9, 1, 1, 2], k=count)
    for number, kind in enumerate(kinds):
        method, target, body = kind(rng)
        connection = connections[number % CONNECTIONS]
        fields = {"X-API-Key": key, "User-Agent": "graph-client/3.2", "Accept": "application/json"}
        if body is not None:
            fields["Content-Type"] = "text/csv" if kind is upload else "application/json"
        if rng.random() < 0.01:
            del fields["X-API-Key"]
        connection.request(method, target, body and body.encode(), fields)
        connection.getresponse().read()


if __name__ == "__main__":
    main()
