/** The page under the server: it asks for a text's trace, and for the tensors of further tokens when they are looked at. */
import { createHash } from 'node:crypto';
import type { Trace } from '../trace/trace.js';
import { pageCode } from './code.js';
import { frame } from './page.js';
import type { PageData, PagePrediction } from './page-data.js';
import { addHeadRows, headRows } from './page-weights.js';
import { neighboursOf, type PageModel, predictionsOf } from './trace-page.js';
import { type ValueEntry, type ValueKind, ValueText } from './values.js';

export interface LivePage {
  html: string;
  /** It may run its own script and ask its own server; pictures and nothing else come from within. */
  policy: string;
}

const form = `<h1 id="title">Inside a model</h1><p class="quiet" id="facts">What a served model makes of a text, layer by layer.</p>
<form id="ask">
<p><label>Text<br><textarea name="prompt" rows="3" cols="60" required></textarea></label></p>
<p><label>Model (nothing: the only one) <input name="model"></label>
<label>Tokens to generate <input name="generate" type="number" min="0" size="4"></label>
<label>Key, where the server has any <input name="key" type="password" autocomplete="off"></label></p>
<p><button type="submit" id="send">Trace it</button></p>
</form>
<p><button type="button" id="again" hidden>Another text</button> <span id="said" role="status"></span></p>`;

/** Throws what reading the package's own files throws. */
export function livePage(): LivePage {
  const script = `globalThis.showTrace = () => {\n${pageCode()}};\n${pageCode('live.js')}`;
  const hash = createHash('sha256').update(script).digest('base64');
  const data =
    '<script type="application/json" id="data"></script><script type="text/plain" id="values"></script>';
  return {
    html: frame('<title>Inside a model</title>', form, `${data}\n<script>${script}</script>`),
    policy: [
      ...["default-src 'none'", `script-src 'sha256-${hash}'`, "style-src 'unsafe-inline'", 'img-src data:'],
      ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
    ].join('; '),
  };
}

/** What a page lacks of one position. */
export interface PositionContent {
  tensors: Readonly<Record<string, ValueEntry>>;
  values: string;
  /** Absent without an output layer. */
  prediction?: PagePrediction;
  neighbours: PageData['neighbours'];
  headBias?: Record<number, number>;
}

/** @param trace of that position alone, with `pageTraceOptions` @param kind that of the page's values */
export async function positionContent(
  { traced }: PageModel,
  trace: Trace,
  kind: ValueKind,
): Promise<PositionContent> {
  const position = trace.from;
  const text = new ValueText(kind);
  for (const { name, shape, values } of trace.tensors) text.add(name, shape, 'chosen', values);
  const [prediction] = predictionsOf(trace, [position]);
  const ids = prediction?.top.slice(0, headRows).map(([id]) => id) ?? [];
  const headBias = await addHeadRows(traced, trace, ids, text);
  return {
    neighbours: await neighboursOf(traced, trace, [position]),
    tensors: text.entries,
    values: text.text,
    ...(prediction ? { prediction } : {}),
    ...(headBias ? { headBias } : {}),
  };
}
