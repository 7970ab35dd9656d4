// An HTTP server of Node. Prints its port.
const http = require("http");

const large = "0123456789abcdef".repeat(1 << 16);
const server = http.createServer((request, response) => {
  if (request.url === "/echo") {
    request.pipe(response);
  } else {
    response.end(request.url === "/large" ? large : "hello from inside\n");
  }
});
server.listen(0, "127.0.0.1", 511, () => console.log(server.address().port));
