/**
 * An npm registry on the loopback interface: packed tarballs, and either, from the checkout's own node_modules, the packages
 * that they depend on, so that an installation needs no network, or the way to another registry for all else.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

interface Manifest {
  name: string;
  version: string;
}

/** A version of a package; its bytes are made when they are asked for. */
interface Version {
  manifest: Manifest;
  bytes: () => Buffer;
}

const unpack = (tarball: string, path: string): string =>
  execFileSync('tar', ['-xzOf', tarball, path], { encoding: 'utf8', maxBuffer: 2 ** 26 });

/** A tarball of `npm pack`. */
function ofTarball(path: string): Version {
  const manifest = JSON.parse(unpack(path, 'package/package.json')) as Manifest;
  return { manifest, bytes: () => readFileSync(path) };
}

/** An installed package, packed without what is installed inside it. */
function ofFolder(folder: string): Version {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const args = ['-czf', '-', '--exclude=./node_modules', '--transform=s,^[.],package,', '-C', folder, '.'];
  let packed: Buffer | undefined;
  const bytes = () => {
    packed ??= execFileSync('tar', args, { maxBuffer: 2 ** 28 });
    return packed;
  };
  return { manifest, bytes };
}

/** What an installation without devDependencies takes, of a checkout's lock. */
function runtimePackages(root: string): Version[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => join(root, path))
    .filter((folder) => existsSync(folder))
    .map(ofFolder);
}

export interface Registry {
  url: string;
  /** Names of packages whose tarball was fetched. */
  fetched: string[];
  close(): void;
}

export interface Contents {
  /** Of `npm pack`. */
  tarballs: readonly string[];
  /** Manifests that are listed and have no tarball: packages of other systems. */
  listed?: readonly Manifest[];
  /** A checkout whose runtime dependencies are served. */
  checkout?: string;
  /** The registry that clients are sent to for what is not here. */
  upstream?: string;
}

/** Older than any age that a package manager asks of what it installs. */
const published = '2026-01-01T00:00:00.000Z';

function describe(list: readonly Version[], url: string): unknown {
  const { name, version: latest } = list.at(-1)!.manifest;
  const described = list.map(({ manifest, bytes }) => {
    const hash = (algorithm: string) => createHash(algorithm).update(bytes());
    const dist = {
      tarball: `${url}${name}/-/${manifest.version}.tgz`,
      shasum: hash('sha1').digest('hex'),
      integrity: `sha512-${hash('sha512').digest('base64')}`,
    };
    return [manifest.version, { ...manifest, dist }];
  });
  const times = list.map(({ manifest }) => [manifest.version, published]);
  return {
    name,
    'dist-tags': { latest },
    versions: Object.fromEntries(described),
    modified: published,
    time: { created: published, modified: published, ...Object.fromEntries(times) },
  };
}

export async function serveRegistry({ tarballs, listed, checkout, upstream }: Contents): Promise<Registry> {
  const noBytes = (manifest: Manifest): Version => ({ manifest, bytes: () => Buffer.alloc(0) });
  const versions = new Map<string, Version[]>();
  const own = checkout === undefined ? [] : runtimePackages(checkout);
  for (const one of [...own, ...(listed ?? []).map(noBytes), ...tarballs.map(ofTarball)]) {
    versions.set(one.manifest.name, [...(versions.get(one.manifest.name) ?? []), one]);
  }
  const fetched: string[] = [];
  let url = '';
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://registry').pathname).slice(1);
    const [name, version] = path.split('/-/') as [string, string | undefined];
    const list = versions.get(name) ?? [];
    const wanted = list.find(({ manifest }) => `${manifest.version}.tgz` === version);
    if (list.length === 0 && upstream !== undefined) {
      response.writeHead(302, { location: new URL((request.url ?? '').slice(1), upstream).href }).end();
    } else if (list.length === 0 || (version !== undefined && !wanted)) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
    } else if (wanted) {
      fetched.push(name);
      response.end(wanted.bytes());
    } else {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(describe(list, url)));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { url, fetched, close: () => server.close() };
}
