// Four workers behind one port, and what becomes of one that ends.
"use strict";
const cluster = require("node:cluster");
const http = require("node:http");
const { once } = require("node:events");

const WORKERS = 4;
const REQUESTS = 20;

function ask(port) {
  return new Promise((done, failed) => {
    const request = http.get({ port, host: "127.0.0.1", agent: false }, (answer) => {
      let all = "";
      answer.on("data", (part) => { all += part; });
      answer.on("end", () => done(all));
    });
    request.on("error", failed);
  });
}

async function primary() {
  cluster.schedulingPolicy = cluster.SCHED_RR;
  const workers = Array.from({ length: WORKERS }, () => cluster.fork({ NAME: "worker" }));
  const ports = await Promise.all(workers.map((worker) => once(worker, "listening").then(([address]) => address.port)));
  console.log("one port", new Set(ports).size);
  const answers = [];
  for (let count = 0; count < REQUESTS; count++) answers.push(await ask(ports[0]));
  console.log("answers", answers.length, "of workers", new Set(answers).size);
  workers[0].process.kill("SIGKILL");
  console.log("killed", await once(workers[0], "exit"));
  const next = cluster.fork({ NAME: "worker" });
  await once(next, "listening");
  const more = await Promise.all(Array.from({ length: REQUESTS }, () => ask(ports[0])));
  console.log("answers", more.filter((answer) => answer.startsWith("worker ")).length);
  cluster.disconnect();
  const codes = await Promise.all([...workers.slice(1), next].map((worker) => once(worker, "exit")));
  console.log("ended", JSON.stringify(codes));
}

if (cluster.isPrimary) primary();
else http.createServer((_, answer) => answer.end(`${process.env.NAME} ${process.pid}`)).listen(0, "127.0.0.1");
