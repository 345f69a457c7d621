/**
 * The index of a sharded checkpoint (`model.safetensors.index.json`): which file has which tensor. A mixture of experts has
 * tens of thousands of tensors and an index of megabytes, so it is read in turns of the event loop.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KvasirError } from './errors.js';
import { byteOf, JsonScanner, NotPlain } from './json-scanner.js';
import { readRegularFile } from './regular-file.js';

/** 64 MiB: some 500,000 tensors. */
const largest = 1 << 26;

/** About a millisecond. */
const entriesPerTurn = 2048;

/** Tensor name to file name, in the order of the file. Throws MODEL_NOT_FOUND and MODEL_FORMAT. */
export async function readShardIndex(path: string): Promise<Map<string, string>> {
  const bytes = await readRegularFile(path, largest);
  const json = new JsonScanner(bytes);
  let files: Map<string, string> | undefined;
  try {
    if (json.enter(byteOf.openObject, byteOf.closeObject)) {
      do {
        const isMap = takeString(json) === 'weight_map';
        json.take(byteOf.colon);
        if (isMap) files = await readWeightMap(json);
        else json.skip();
      } while (json.more(byteOf.closeObject));
    }
  } catch (cause) {
    if (!(cause instanceof NotPlain)) throw cause;
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON near byte ${json.at}.`);
  }
  if (files !== undefined && files.size > 0) return files;
  throw new KvasirError('MODEL_FORMAT', `${path} must have a "weight_map" from tensors to file names.`);
}

/** Empty where it is no object, or a value is no string. */
async function readWeightMap(json: JsonScanner): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  if (json.peek() !== byteOf.openObject) {
    json.skip();
    return files;
  }
  let allNamed = true;
  let entries = 0;
  if (!json.enter(byteOf.openObject, byteOf.closeObject)) return files;
  do {
    const tensor = takeString(json);
    json.take(byteOf.colon);
    if (json.peek() === byteOf.quote) files.set(tensor, takeString(json));
    else {
      allNamed = false;
      json.skip();
    }
    if (++entries % entriesPerTurn === 0) await nextTurn();
  } while (json.more(byteOf.closeObject));
  return allNamed ? files : new Map();
}

function takeString(json: JsonScanner): string {
  json.string();
  return Buffer.from(json.text.buffer, json.text.byteOffset + json.start, json.end - json.start).toString();
}
