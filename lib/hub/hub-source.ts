/** Fetches a repository of the hub, or one file of it, into the cache. */
import { KvasirError } from '../errors.js';
import { CachedRepository } from './cache.js';
import { prepareFolder } from './disk.js';
import { Endpoint } from './endpoint.js';
import { ggufModels, ggufParts } from './gguf-parts.js';
import { shardNames } from './local-files.js';
import { type Listed, type Listing, listRepository } from './listing.js';
import { type LockTimes, withLock } from './lock.js';
import type { PullProgress } from './model-files.js';
import { otherWeightsOnly } from './other-weights.js';
import { checkRelativeName } from './reference.js';
import { Transfer, type TransferOptions } from './transfer.js';

export interface FetchOptions extends LockTimes, Pick<TransferOptions, 'retryDelays' | 'stallMs'> {
  signal?: AbortSignal;
  onProgress?: (progress: PullProgress) => void;
}

export interface Fetched {
  /** Snapshot folder. */
  folder: string;
  downloadedBytes: number;
}

/** What a model folder is made of; weights are added by what the repository has. */
const wanted = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'modules.json',
  'config_sentence_transformers.json',
  'sentence_bert_config.json',
  'classifier.safetensors',
];
/** Of a step of modules.json. */
const isOfModule = (name: string): boolean => /^\d+_\w+\/(config\.json|model\.safetensors)$/.test(name);
const isNamedTemplate = (name: string): boolean => /^additional_chat_templates\/[^/]+\.jinja$/.test(name);
const shardIndex = 'model.safetensors.index.json';

export class HubSource {
  readonly #endpoint = new Endpoint();
  readonly #cache: CachedRepository;
  #downloaded = 0;
  /** The hub has answered: it is there. */
  listed = false;

  constructor(
    readonly repository: string,
    readonly options: FetchOptions,
  ) {
    this.#cache = new CachedRepository(repository);
  }

  /** Config, weights and tokenizer; in a repository of GGUF files its only one, whole. */
  async fetchModel(): Promise<Fetched> {
    const { revision, files } = await this.#list();
    const fetch = (name: string): Promise<string> => this.#fetchFile(revision, files, name);
    const named = [...files.keys()].filter((name) => isNamedTemplate(name) || isOfModule(name));
    const found = [...wanted.filter((name) => files.has(name)), ...named];
    const weights = [...files.keys()].filter((name) => name.endsWith('.safetensors') && !name.includes('/'));
    const ggufs = ggufModels([...files.keys()].filter((name) => name.endsWith('.gguf')));
    let names: string[];
    if (files.has('config.json') && files.has('model.safetensors')) names = [...found, 'model.safetensors'];
    else if (files.has('config.json') && files.has(shardIndex)) {
      names = [...found, shardIndex, ...(await shardNames(await fetch(shardIndex)))];
    } else if (files.has('config.json') && weights.length === 1) names = [...found, ...weights];
    else if (ggufs.length === 1) names = ggufParts(ggufs[0]!);
    else throw this.#noModel(ggufs, [...files.keys()]);
    for (const name of names) await fetch(name);
    return this.#done(revision);
  }

  /** A GGUF file, with all other parts of a split one. */
  async fetchGguf(name: string): Promise<Fetched> {
    const { revision, files } = await this.#list();
    for (const part of ggufParts(name)) await this.#fetchFile(revision, files, part);
    return this.#done(revision);
  }

  async #done(revision: string): Promise<Fetched> {
    await this.#cache.setCurrent(revision);
    return { folder: this.#cache.snapshot(revision), downloadedBytes: this.#downloaded };
  }

  #noModel(ggufs: readonly string[], names: readonly string[]): KvasirError {
    const other = otherWeightsOnly(`${this.repository} on the hub`, names);
    if (ggufs.length === 0 && other) return other;
    const hint =
      ggufs.length > 0
        ? `it has ${ggufs.length} GGUF files, name one: hf:${this.repository}:${ggufs[0]} (others: ${ggufs.slice(1, 12).join(', ')})`
        : 'it has neither config.json with .safetensors nor a GGUF file';
    return new KvasirError(
      'MODEL_NOT_FOUND',
      `${this.repository} on the hub cannot be loaded as it is: ${hint}.`,
    );
  }

  async #list(): Promise<Listing> {
    const listing = await listRepository(this.#endpoint, this.repository, this.options.signal);
    this.listed = true;
    return listing;
  }

  /** Path of the file in the snapshot. */
  async #fetchFile(revision: string, files: ReadonlyMap<string, Listed>, name: string): Promise<string> {
    const listed = files.get(name);
    if (listed === undefined) {
      const similar = [...files.keys()].filter((other) => other.endsWith('.gguf')).slice(0, 12);
      const hint = similar.length > 0 ? ` Its GGUF files are ${similar.join(', ')}.` : '';
      throw new KvasirError('MODEL_NOT_FOUND', `${this.repository} on the hub has no file "${name}".${hint}`);
    }
    checkRelativeName(name);
    if (!/^[0-9a-f]{40,64}$/.test(listed.oid) || !Number.isSafeInteger(listed.bytes) || listed.bytes < 0) {
      throw new KvasirError('DOWNLOAD', `The hub lists "${name}" with a hash or size that is none.`);
    }
    const blob = this.#cache.blob(listed.oid);
    await prepareFolder(this.#cache.folder, 0);
    await prepareFolder(this.#cache.blobs, 0);
    await withLock(`${blob}.lock`, this.options, async (signal) => {
      const { bytes, oid } = listed;
      if (await this.#cache.isIntact(oid, { trust: false, bytes, signal })) return;
      await this.#transfer(revision, listed, signal);
      await this.#cache.noteVerified(oid);
    });
    return this.#cache.link(listed.oid, revision, name);
  }

  async #transfer(revision: string, listed: Listed, signal: AbortSignal): Promise<void> {
    const { onProgress, retryDelays, stallMs } = this.options;
    const { name, bytes, oid, kind } = listed;
    const blob = this.#cache.blob(oid);
    const transfer = new Transfer(
      {
        name,
        bytes,
        blob,
        url: this.#endpoint.fileUrl(this.repository, revision, name),
        hash: { kind, hex: oid },
      },
      {
        endpoint: this.#endpoint,
        signal,
        retryDelays,
        stallMs,
        onProgress: throttled(bytes, (phase, loaded) =>
          onProgress?.({ phase, file: name, loaded, total: bytes }),
        ),
      },
    );
    this.#downloaded += await transfer.run();
  }
}

/** Lets through a report every 50 ms, and the last one. */
function throttled(total: number, report: NonNullable<TransferOptions['onProgress']>): typeof report {
  let last = 0;
  return (phase, loaded) => {
    const now = performance.now();
    if (now - last < 50 && loaded !== total) return;
    last = now;
    report(phase, loaded);
  };
}
