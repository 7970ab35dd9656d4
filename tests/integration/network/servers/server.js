// An HTTP server of Node: server.js [PORT [CERTIFICATE KEY]]. Prints its port.
const fs = require("fs");
const http = require("http");
const https = require("https");

const [port, certificate, key] = process.argv.slice(2);
const large = "0123456789abcdef".repeat(1 << 16);

const self = () => `descriptors: ${fs.readdirSync("/proc/self/fd").length}\n${fs.readFileSync("/proc/self/status")}`;

function answer(request, response) {
  switch (request.url) {
    case "/echo":
      request.pipe(response);
      break;
    case "/large":
      response.end(large);
      break;
    case "/self":
      response.end(self());
      break;
    default:
      response.end("hello from inside\n");
  }
}

const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, answer)
  : http.createServer(answer);
// Node itself only raises the signal anew, which does nothing to a container's first process.
process.on("SIGTERM", () => process.exit(0));
// Clients may be as slow as the machine makes them.
Object.assign(server, { headersTimeout: 0, keepAliveTimeout: 600_000, requestTimeout: 0 });
server.listen(port ?? 0, "127.0.0.1", 511, () => console.log(server.address().port));
