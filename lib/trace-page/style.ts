/** The page's style: light, dark, paper and phone. No font, image or script comes from elsewhere. */

/** Colours of a light ground: printers are told before the page is laid out, and media change when it is. */
const paper = `color-scheme: light;
  --ground: #ffffff; --ink: #000000; --quiet: #444444; --rule: #bbbbbb; --panel: #ffffff; --accent: #b34d12; --select: #ffffff;
  --cell: #f4f5f7; --negative: #1f5fa8; --positive: #c2571a; --weight: #6b2fa0;
  --k1: #6b7a90; --k2: #c2571a; --k3: #3f8f7d; --k4: #b79a3c; --k5: #7a57b0; --k6: #2f7fb8; --k7: #a3446e;`;

/** Behind the words of the logit lens: the deeper, the surer. */
const shades = Array.from(
  { length: 10 },
  (_, i) => `.p${i + 1} { background: color-mix(in srgb, var(--weight) ${6 * (i + 1)}%, transparent); }`,
).join(' ');

export const style = `
:root { color-scheme: light dark;
  --ground: #ffffff; --ink: #1c2430; --quiet: #5b6675; --rule: #dfe3e8; --panel: #f6f7f9; --accent: #b34d12; --select: #fff1e6;
  --cell: #f4f5f7; --negative: #1f5fa8; --positive: #c2571a; --weight: #6b2fa0;
  --k1: #6b7a90; --k2: #c2571a; --k3: #3f8f7d; --k4: #b79a3c; --k5: #7a57b0; --k6: #2f7fb8; --k7: #a3446e; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14181f; --ink: #e6e9ee; --quiet: #9aa5b3; --rule: #2c333d; --panel: #1b2029; --accent: #f08a4b; --select: #3a2a1f;
  --cell: #20262f; --negative: #6db1ff; --positive: #ff9d5c; --weight: #c79bff;
  --k1: #93a3ba; --k2: #f08a4b; --k3: #5fb8a3; --k4: #d4b95c; --k5: #b394e6; --k6: #6bb5e8; --k7: #e07ba8; } }
:root[data-paper] { ${paper} }
@media print { :root { ${paper} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header { padding: 1rem 1.25rem .5rem; } header p { max-width: none; } h1 { font-size: 1.35rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 .4rem; outline: none; } h3 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; }
h4 { font-size: .95rem; margin: 0 0 .3rem; } p { margin: .4rem 0; max-width: 44rem; } .quiet { color: var(--quiet); font-size: .9rem; }
button, select { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--rule); border-radius: .4rem; cursor: pointer; padding: .2rem .6rem; }
button:disabled { opacity: .4; cursor: default; } :focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
button[aria-pressed="true"], .current { background: var(--select); } button.link { border: 0; background: none; padding: 0; text-decoration: underline; text-align: left; }
code { font: .92em ui-monospace, monospace; background: var(--panel); padding: 0 .25em; border-radius: .2em; overflow-wrap: anywhere; }
#text { display: flex; flex-wrap: wrap; gap: 2px; padding: .4rem 1.25rem; max-height: 8.5rem; overflow-y: auto; border-bottom: 1px solid var(--rule); }
.token { font: .85rem ui-monospace, monospace; padding: .1rem .3rem; border-radius: .25rem; border-color: transparent; background: none; color: var(--quiet); min-height: 1.6rem; }
.token.chosen { color: var(--ink); background: var(--panel); border-color: var(--rule); } .token.generated { font-style: italic; }
.token[aria-pressed="true"] { background: var(--accent); color: var(--ground); }
.page { display: grid; grid-template-columns: 14.5rem minmax(0, 1fr) 15rem; gap: 1.75rem; padding: 1rem 1.25rem 3rem; max-width: 96rem; margin: 0 auto; }
#parts { position: relative; } #parts ol { list-style: none; counter-reset: part; margin: 0; padding: 0; position: sticky; top: .75rem; }
#parts button { width: 100%; text-align: left; border-color: transparent; background: none; padding: .15rem .5rem; font-size: .92rem; display: flex; gap: .6em; }
#parts li { counter-increment: part; } #parts button::before { content: counter(part); color: var(--quiet); min-width: 1.4em; text-align: right; font-variant-numeric: tabular-nums; }
#parts [aria-current] { background: var(--select); color: var(--accent); font-weight: 600; }
#scale > * { position: static; } #scale h2 { font-size: 1rem; } .choice { display: flex; flex-wrap: wrap; gap: .25rem; margin-bottom: .4rem; } .choice button { font-size: .8rem; padding: .05rem .45rem; }
.count { color: var(--accent); font-size: .85rem; margin: 0; } .why { font-size: 1.03rem; }
.formula { font: italic 1.15rem/1.7 "STIX Two Math", Cambria, Georgia, serif; background: var(--panel); border-left: 3px solid var(--accent); padding: .3rem .9rem; overflow-x: auto; max-width: none; }
.formula sub, .formula sup { font-size: .7em; line-height: 0; }
.controls { display: flex; flex-wrap: wrap; gap: 1rem; margin: .4rem 0; } .stepper { display: inline-flex; align-items: center; gap: .3rem; }
figure { margin: 1rem 0; min-width: 0; } figcaption { font-weight: 600; font-size: .92rem; margin-bottom: .3rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 1.5rem; }
.frame { display: flex; min-width: 0; } .frame > .scroll { flex: 1; min-width: 0; } .scroll { overflow-x: auto; }
.labels { display: flex; flex-direction: column; max-width: 9rem; padding-right: .4rem; font-family: ui-monospace, monospace; color: var(--quiet); }
.labels span { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; text-align: right; } .labels .corner, .columns { flex: none; }
.columns { display: flex; } .columns span { flex: 1; min-width: 0; writing-mode: vertical-rl; transform: rotate(180deg); font: 11px ui-monospace, monospace; color: var(--quiet); overflow: hidden; white-space: nowrap; display: flex; align-items: center; padding-top: 3px; }
.columns.narrow span { font-size: 9px; } .columns.flat span { writing-mode: initial; transform: none; justify-content: center; padding: 0; }
.canvas { max-width: none; } .cells { position: relative; } canvas { display: block; image-rendering: pixelated; cursor: crosshair; background: repeating-linear-gradient(45deg, transparent 0 3px, var(--rule) 3px 4px); }
.mark { position: absolute; border: 2px solid var(--ink); outline: 1px solid var(--ground); pointer-events: none; min-height: 5px; }
.legend { display: flex; align-items: center; gap: .5rem; font-size: .78rem; color: var(--quiet); font-variant-numeric: tabular-nums; margin-top: .25rem; flex-wrap: wrap; } .legend i { width: 9rem; height: .6rem; border-radius: 2px; }
.readout { font: .88rem ui-monospace, monospace; margin: .2rem 0; min-height: 1.4em; overflow-wrap: anywhere; } summary { cursor: pointer; font-size: .85rem; color: var(--quiet); }
.thumbnails { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .5rem; margin: .75rem 0; } .thumbnail { padding: .3rem; font-size: .8rem; } .thumbnail canvas { width: 100%; aspect-ratio: 1; margin-bottom: .2rem; cursor: pointer; }
.thumbnail[aria-pressed="true"] { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.looks th, .looks td { white-space: nowrap; } .lookeds { display: flex; flex-wrap: wrap; gap: 2px; margin: .5rem 0 1rem; } .looked { font: .95rem/1.5 ui-monospace, monospace; padding: .1rem .35rem; border: 1px solid transparent; border-radius: .25rem; background: none; } .looked.here { border-color: var(--ink); box-shadow: 0 0 0 1px var(--ink); } .looked.unseen { color: var(--quiet); opacity: .55; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; } th, td { padding: .18rem .9rem .18rem 0; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; } table.values td, table.values th { padding: .1rem .55rem .1rem 0; text-align: right; white-space: nowrap; font-size: .78rem; font-weight: 400; }
caption { text-align: left; color: var(--quiet); font-size: .85rem; } tr.current th, tr.current td { background: var(--select); }
.arithmetic { background: var(--panel); border: 1px solid var(--rule); border-radius: .5rem; padding: .7rem .9rem; margin: 1rem 0; overflow-x: auto; } .step, .result { font-family: ui-monospace, monospace; font-size: .88rem; margin: .15rem 0; max-width: none; } .result { font-weight: 700; } .result .quiet { font-weight: 400; }
.terms td { font-family: ui-monospace, monospace; font-size: .8rem; } .terms td:nth-child(2) { text-align: right; } .terms .total td { font-weight: 700; } .terms .others td { color: var(--quiet); }
.bar { width: 9rem; min-width: 4rem; } .bar i { display: block; height: .7rem; margin-top: .3rem; border-radius: 1px; min-width: 1px; } .plus { background: var(--positive); } .minus { background: var(--negative); } .bars { max-width: 34rem; width: 100%; } .bars .bar { width: 60%; } .many { max-height: 28rem; overflow-y: auto; max-width: 36rem; }
table.lens { table-layout: fixed; } ${shades} .lens th:first-child, .lens td:first-child { width: 2.6rem; }
.lens td, .lens th { padding: .05rem .35rem; font: .74rem ui-monospace, monospace; white-space: nowrap; } .lens .same { font-weight: 700; } .lens tbody th { position: sticky; left: 0; background: var(--ground); } .lens th.current { color: var(--accent); }
.turning { display: flex; justify-content: space-between; gap: 1rem; margin-top: 2rem; flex-wrap: wrap; }
svg.scale { width: 100%; height: auto; display: block; } svg .label { font: 10px system-ui, sans-serif; fill: var(--quiet); } svg .here { fill: var(--select); } .kind { cursor: pointer; } .key { font-size: .8rem; color: var(--quiet); } .key span { white-space: nowrap; margin-right: .8em; display: inline-block; } .key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em; border-radius: 2px; }
.kind.embedding { fill: var(--k4); background: var(--k4); } .kind.attention { fill: var(--k6); background: var(--k6); } .kind.projection { fill: var(--k3); background: var(--k3); } .kind.feed-forward { fill: var(--k2); background: var(--k2); } .kind.norm { fill: var(--k1); background: var(--k1); } .kind.output { fill: var(--k5); background: var(--k5); } .kind.state { fill: var(--k7); background: var(--k7); }
svg.times { min-width: 35rem; max-width: 44rem; } svg.times:focus-visible { outline-offset: -3px; } svg.times .looked-at { stroke: var(--ink); stroke-width: 1.5; } table.times th:first-child { text-align: left; } table.times i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.chart { width: 100%; min-width: 30rem; max-width: 40rem; height: auto; } .grid { stroke: var(--rule); } .curve { fill: none; stroke: var(--positive); stroke-width: 1.5; } .dot { fill: var(--positive); }
.decoding canvas { cursor: default; } .decoding input { flex: 1; max-width: 20rem; }
.squares { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 1rem; margin: 1rem 0; font-size: .8rem; } .squares i { display: block; background: var(--k6); } .squares .self { background: var(--accent); }
footer { padding: 0 1.25rem 2rem; color: var(--quiet); font-size: .85rem; max-width: 96rem; margin: 0 auto; } kbd { font: .8em ui-monospace, monospace; border: 1px solid var(--rule); border-radius: .25em; padding: 0 .3em; }
@media (max-width: 62rem) { .page { grid-template-columns: minmax(0, 1fr); gap: 1rem; } #parts { overflow-x: auto; } #parts ol { display: flex; position: static; gap: .25rem; } #parts button { white-space: nowrap; border-color: var(--rule); } #scale { max-width: 30rem; } #text { max-height: 6rem; } header, #text, .page, footer { padding-left: .9rem; padding-right: .9rem; } .labels { max-width: 5.5rem; } }
@media print { #parts, #text, .turning, .stepper button, footer, details, .choice, .decoding .controls { display: none; } .page { display: block; padding: 0; max-width: none; } body { font-size: 10pt; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .sheet { break-before: page; } .sheet:first-child { break-before: auto; } figure, .arithmetic, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll, .formula, .many { overflow: visible; max-height: none; } .canvas { width: auto !important; min-width: 0 !important; max-width: 100%; } canvas { width: 100% !important; } #scale { display: none; } svg.times { min-width: 0; } .mark { display: none; } }
`;
