/** The page as one HTML file: its data, its values, its code and its style, and nothing from elsewhere. */
import { escapeText, jsonScript } from '../compare/page/markup.js';
import { packageVersion } from '../version.js';
import { pageCode } from './code.js';
import type { PageData } from './page-data.js';
import { style } from './style.js';

export interface PageContent {
  data: PageData;
  /** Base64 of the tensors that `data` tables. */
  values: string;
}

/** Nothing but what is in the file, whatever a name or a token holds. */
const policy =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const keys: readonly (readonly [string, string])[] = [
  ['n p', 'next and previous part'],
  ['] [', 'layer'],
  ['. ,', 'head'],
  ['l h', 'token'],
  ['arrows', 'cell of a picture that has the focus'],
];

export function pageHtml({ data, values }: PageContent): string {
  const policyTag = `<meta http-equiv="Content-Security-Policy" content="${policy}">\n`;
  const title = escapeText(titleOf(data));
  const content = `${jsonScript('data', data).source}
<script type="text/plain" id="values">${values}</script>
<script>${pageCode()}</script>`;
  return frame(
    `${policyTag}<title>${title}</title>`,
    `<h1>${title}</h1><p class="quiet">${escapeText(factsOf(data))}</p>`,
    content,
  );
}

/** What the page is called. */
export function titleOf({ model }: PageData): string {
  return `Inside ${model.name}`;
}

/** What the page is about, in a sentence. */
export function factsOf(data: PageData): string {
  const { architecture, dtype, parameters } = data.model;
  return `${architecture}, ${(parameters / 1e6).toFixed(parameters < 1e6 ? 3 : 1)} M parameters in ${dtype}, ${data.spec.layers.length} layers, ${data.tokens.length} tokens. ${heldText(data)}`;
}

/** All of the page but what it shows. Markup in, markup out. */
export function frame(head: string, header: string, end: string): string {
  const help = keys.map(([key, what]) => `<kbd>${key}</kbd> ${what}`).join(', ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
${head}
<style>${style}</style>
</head>
<body>
<header>${header}</header>
<div id="text" role="group" aria-label="The text: pick a token"></div>
<div class="page">
<nav id="parts" aria-label="Parts"></nav>
<main id="part"></main>
<aside id="scale" aria-label="The model to scale"></aside>
</div>
<footer><p>Keys: ${help}. Written by kvasir ${escapeText(packageVersion())}.</p></footer>
<noscript><p>The page draws its pictures with a script of its own; it asks for nothing from elsewhere.</p></noscript>
${end}
</body>
</html>
`;
}

function heldText({ chosen, tokens, digits }: PageData): string {
  const values = `values to ${digits} digits`;
  if (chosen.length === tokens.length) return `Every tensor of every token, ${values}.`;
  return `Attention weights and the residual stream of all tokens, every other tensor of tokens ${chosen.join(', ')}; ${values}.`;
}
