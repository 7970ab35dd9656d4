// What Node's programs do with children, by child_process: the same lines anywhere.
"use strict";
const { spawn, spawnSync, exec, execFile, execFileSync, execSync, fork } = require("node:child_process");
const { once } = require("node:events");
const { promisify } = require("node:util");
const fs = require("node:fs");
const net = require("node:net");

async function text(stream) {
  let all = "";
  for await (const part of stream) all += part;
  return all;
}

async function streams() {
  const upper = spawn("tr", ["a-z", "A-Z"]);
  const said = text(upper.stdout);
  upper.stdin.end("through two pipes\n");
  const [code, signal] = await once(upper, "close");
  console.log("spawn", await said, code, signal);

  const { stdout, stderr } = await promisify(exec)("echo out; echo err >&2; ls / | wc -l >/dev/null");
  console.log("exec", JSON.stringify([stdout, stderr]));
  console.log("execFile", (await promisify(execFile)("expr", ["6", "*", "7"])).stdout.trim());
  console.log("sync", execSync("echo $((1 + 2))").toString().trim(), execFileSync("cat", { input: "given" }).toString());
  const large = Buffer.alloc(1 << 20, "abc");
  console.log("large", spawnSync("cat", { input: large, maxBuffer: 1 << 22 }).stdout.equals(large));
  const file = fs.openSync("/tmp/of-a-child", "w+");
  spawnSync("sh", ["-c", "echo to a file; echo errors too >&2"], { stdio: ["ignore", file, file] });
  console.log("file", JSON.stringify(fs.readFileSync("/tmp/of-a-child", "utf8")));
  spawnSync("echo", ["inherited"], { stdio: "inherit" });
  const extra = spawn("sh", ["-c", "echo by the fourth >&3"], { stdio: ["ignore", "ignore", "inherit", "pipe"] });
  console.log("descriptor 3", JSON.stringify(await text(extra.stdio[3])));
}

async function ends() {
  for (const command of ["exit 7", "kill -TERM $$", "kill -KILL $$"]) {
    const done = spawnSync("sh", ["-c", command]);
    console.log(command, done.status, done.signal);
  }
  const sleeper = spawn("sleep", ["100"]);
  await once(sleeper, "spawn");
  sleeper.kill("SIGINT");
  console.log("killed", await once(sleeper, "exit"));
  console.log("timeout", spawnSync("sleep", ["100"], { timeout: 100 }).error.code);
  const controller = new AbortController();
  const aborted = spawn("sleep", ["100"], { signal: controller.signal });
  aborted.on("error", (error) => console.log("aborted", error.code));
  controller.abort();
  await once(aborted, "exit");
  for (const [program, options] of [["/none", {}], ["/etc/passwd", {}], ["true", { cwd: "/none" }]]) {
    console.log("refused", spawnSync(program, [], options).error.code);
  }
}

async function inheritance() {
  const ids = { uid: 65534, gid: 65534 };
  console.log("ids", execSync("echo $(id -u):$(id -g) $(pwd)", { ...ids, cwd: "/usr" }).toString().trim());
  console.log("environment", execSync("env | grep ONLY", { env: { PATH: process.env.PATH, ONLY: "this one" } }).toString().trim());
  console.log("argv0", spawnSync("sh", ["-c", "echo $0"], { argv0: "another" }).stdout.toString().trim());
  const own = spawn("sh", ["-c", "ps 2>/dev/null; read a b c d pgid session rest < /proc/self/stat; [ $session = $$ ] && echo leads"], { detached: true });
  console.log("detached", (await text(own.stdout)).includes("leads"));
}

async function messages() {
  const child = fork(__filename, ["child"], { execArgv: ["--no-warnings"], serialization: "advanced" });
  const answers = [];
  child.on("message", (message) => answers.push(message));
  child.send({ number: 1n, list: new Set([1, 2]) });
  child.send({ text: "x".repeat(100000) });
  while (answers.length < 2) await once(child, "message");
  console.log("ipc", answers);
  const server = net.createServer((socket) => socket.end("by the parent"));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  child.send("take", server);
  await once(child, "message");
  server.close();
  const socket = net.connect(server.address()?.port ?? answers.at(-1).port, "127.0.0.1");
  console.log("handle", await text(socket));
  child.disconnect();
  console.log("ended", await once(child, "exit"));
}

function child() {
  process.on("message", (message, handle) => {
    if (handle) {
      handle.on("connection", (socket) => { socket.end("by the child"); handle.close(); });
      process.send({ port: handle.address().port });
    } else process.send(message.text ? message.text.length : [message.number + 1n, message.list.size]);
  });
}

if (process.argv[2] === "child") child();
else (async () => {
  for (const part of [streams, ends, inheritance, messages]) await part();
})();
