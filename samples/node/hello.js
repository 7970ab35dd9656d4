// Timers, the thread pool of libuv behind fs, and hashing.
const { createHash } = require('node:crypto');
const { readFile } = require('node:fs/promises');

setTimeout(async () => {
  const digest = createHash('sha256').update(await readFile(__filename)).digest('hex');
  console.log('Hello from Node:', digest.length, 'digits');
}, 5);
