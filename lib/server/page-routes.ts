/** GET / and /assets: the page, from this package alone. Its policy lets it ask this server and nobody else. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native.js';
import { createRequire } from '../node-require.js';
import { Failure } from './failure.js';
import { openAi } from './protocol.js';
import type { PlainRoute } from './route.js';

const source = join(packageRoot, 'web');
const built = join(packageRoot, 'dist', 'web');

const types = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
};

function policyOf(page: string): string {
  // The import map is the one script inside the page: it says where the modules find the library that reads Markdown.
  const [, map = ''] = /<script type="importmap">([^<]*)<\/script>/.exec(page) ?? [];
  const hash = createHash('sha256').update(map).digest('base64');
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    ...["style-src 'self'", "connect-src 'self'", 'img-src data:'],
    ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
  ].join('; ');
}

class Page {
  readonly #page = readFileSync(join(source, 'index.html'), 'utf8');
  readonly #headers = {
    'content-security-policy': policyOf(this.#page),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-cache',
  };
  /** Paths by name; nothing else is read. */
  readonly #assets = new Map([
    ['style.css', join(source, 'style.css')],
    ['marked.js', createRequire(join(packageRoot, 'package.json')).resolve('marked')],
    ...readdirSync(built)
      .filter((name) => name.endsWith('.js'))
      .map((name): [string, string] => [name, join(built, name)]),
  ]);

  respond(): Response {
    return this.#responseOf(this.#page, types.html);
  }

  /** Throws a Failure for what is no part of the page. */
  respondAsset(name: string): Response {
    const path = this.#assets.get(name);
    if (path === undefined)
      throw new Failure('not-found', 'The page has no such part.', { code: 'not_found' });
    return this.#responseOf(readFileSync(path, 'utf8'), name.endsWith('.css') ? types.css : types.js);
  }

  #responseOf(body: string, type: string): Response {
    return new Response(body, { headers: { ...this.#headers, 'content-type': type } });
  }
}

let page: Page | undefined;
const loadedPage = (): Page => {
  page ??= new Page();
  return page;
};

const pageRoute: PlainRoute = {
  method: 'GET',
  path: '/',
  protocol: openAi,
  summary: 'A page to chat in. Needs no key; what it asks for does.',
  open: true,
  respond: () => loadedPage().respond(),
};

const assetRoute: PlainRoute = {
  method: 'GET',
  path: '/assets/:id',
  protocol: openAi,
  summary: 'Parts of the page.',
  open: true,
  respond: (_exchange, _state, id) => loadedPage().respondAsset(id ?? ''),
};

export const pageRoutes = [pageRoute, assetRoute];
