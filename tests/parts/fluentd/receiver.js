// A Fluentd receiver of the Fluent project's own library: says its port, then each record as one JSON line.
// Arguments: port (0 takes a free one), shared key (may be empty).
"use strict";
const {FluentServer} = require("@fluent-org/logger");
const [port, sharedKey] = process.argv.slice(2);
const security = sharedKey ? {serverHostname: "receiver", sharedKey} : undefined;
const server = new FluentServer({listenOptions: {host: "127.0.0.1", port: Number(port)}, security});
server.on("entry", (tag, time, record) => {
  const seconds = typeof time === "number" ? time : time.epoch !== undefined ? time.epoch : Math.floor(time.getTime() / 1000);
  process.stdout.write(JSON.stringify({tag, seconds, record}) + "\n");
});
server.listen().then(() => process.stdout.write(`listening ${server.port}\n`));
