// Pulls the fake hub's model with the built package, as a process or as a worker thread, and says what came of it.
//   node hub-puller.mjs '{"staleMs":1000}'
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { pull } from '../../dist/hub/index.js';

const options = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const say = (message) =>
  isMainThread ? console.log(JSON.stringify(message)) : parentPort.postMessage(message);

say({ started: process.pid });
try {
  const { files, origin, downloadedBytes } = await pull('hf:org/name', options);
  say({ weights: files.weights[0], origin, downloadedBytes });
} catch (error) {
  say({ failed: `${error.code}: ${error.message}` });
}
