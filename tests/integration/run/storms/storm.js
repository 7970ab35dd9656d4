// Compiled code, garbage, regular expressions, floating point and the thread pool come to the same every time, until standard input ends.
const { createHash, pbkdf2 } = require('node:crypto');

function work(seed) {
  const values = new Float64Array(2000);
  const kept = new Map();
  let text = '';
  for (let i = 0; i < values.length; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    values[i] = Math.sqrt(seed) * 1.5 + Math.sin(seed);
    kept.set(seed, { index: i, name: `item ${seed}` });
    if (i % 50 === 0) text += kept.get(seed).name.replace(/[aeiou]/g, '_');
  }
  values.sort();
  return createHash('sha256').update(Buffer.from(values.buffer)).update(text).digest('hex');
}

let stop = false;
let rounds = 0;
const expected = [1, 2, 3, 4].map(work);
let key = null;

function fail(what) {
  console.error(what);
  process.exit(1);
}

function derive() {
  pbkdf2('storm', 'salt', 500, 32, 'sha256', (error, found) => {
    if (error || (key && !key.equals(found))) fail('another key');
    key = found;
    if (!stop) derive();
  });
}

function turn() {
  for (let i = 0; i < 4; i++) if (work(i + 1) !== expected[i]) fail('another result');
  rounds++;
  if (!stop) return setImmediate(turn);
  console.error(rounds, 'rounds');
  console.log('storm ok');
}

process.stdin.on('data', () => {}).on('end', () => { stop = true; });
console.log('begun');
derive();
turn();
