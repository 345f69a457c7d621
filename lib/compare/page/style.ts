/** The page's style: light, dark, paper and phone. No font, image or script comes from elsewhere. */
export const style = `
:root { color-scheme: light dark;
  --ground: #ffffff; --ink: #1c2430; --quiet: #5b6675; --rule: #dfe3e8; --panel: #f6f7f9;
  --a: #6b7a90; --b: #c2571a; --kv: #3f8f7d; --scratch: #b79a3c; --other: #b9c0ca; --bad: #b3261e; --good: #1f7a4a;
  --fifth: #7a57b0; --sixth: #2f7fb8; --seventh: #b0477a; --eighth: #6a8f2f; --ninth: #8a6d55; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14181f; --ink: #e6e9ee; --quiet: #9aa5b3; --rule: #2c333d; --panel: #1b2029;
  --a: #93a3ba; --b: #f08a4b; --kv: #5fb8a3; --scratch: #d4b95c; --other: #4a5361; --bad: #ff897d; --good: #6fcf97;
  --fifth: #b394e6; --sixth: #6bb5e8; --seventh: #e584b2; --eighth: #a6cc66; --ninth: #c4a68d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 3rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 0 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; } .quiet { color: var(--quiet); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 11rem), 1fr)); gap: .75rem; margin: 1rem 0; }
.figure { background: var(--panel); border-radius: .5rem; padding: .7rem .9rem; }
.figure b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.figure small { color: var(--quiet); display: block; line-height: 1.35; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.25rem; margin: .75rem 0; }
figure { margin: 0; min-width: 0; } svg { display: block; width: 100%; height: auto; max-width: 32rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--quiet); font-weight: 600; } th:first-child, td:first-child { text-align: left; white-space: normal; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; margin: .5rem 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
.warn { border-left: .25rem solid var(--bad); padding: .3rem .8rem; background: var(--panel); }
.passed { color: var(--good); } .failed { color: var(--bad); font-weight: 600; }
.key { font-size: .85rem; color: var(--quiet); } .key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .9em; }
.key i:first-child { margin-left: 0; } .greedy { font-size: .9rem; } .greedy q { quotes: none; } .greedy mark { background: none; color: var(--b); }
svg .label { font: 11px system-ui, sans-serif; fill: var(--quiet); }
svg .grid { stroke: var(--rule); } svg .base { stroke: var(--quiet); } svg .one { stroke: var(--ink); stroke-dasharray: 3 3; }
svg .mark { stroke: var(--ink); stroke-dasharray: 2 3; } svg .curve { fill: none; stroke-width: 1.5; opacity: .55; } svg .range { stroke-width: 2.5; }
svg .a .curve, svg .a .range { stroke: var(--a); } svg .a .dot { fill: var(--a); }
svg .b .curve, svg .b .range { stroke: var(--b); } svg .b .dot { fill: var(--b); }
svg .none .range { stroke: var(--quiet); } svg .none .dot { fill: var(--quiet); } .bar { fill: var(--b); background: var(--b); }
.weights { fill: var(--a); background: var(--a); } .kv { fill: var(--kv); background: var(--kv); }
.scratch { fill: var(--scratch); background: var(--scratch); } .other { fill: var(--other); background: var(--other); }
.fifth { fill: var(--fifth); background: var(--fifth); } .sixth { fill: var(--sixth); background: var(--sixth); }
.seventh { fill: var(--seventh); background: var(--seventh); } .eighth { fill: var(--eighth); background: var(--eighth); }
.ninth { fill: var(--ninth); background: var(--ninth); }
i.a { background: var(--a); } i.b { background: var(--b); }
@media print { :root { color-scheme: light; --ground: #fff; --ink: #000; --quiet: #444; --rule: #bbb; --panel: #fff;
    --a: #6b7a90; --b: #c2571a; --kv: #3f8f7d; --scratch: #b79a3c; --other: #b9c0ca;
    --fifth: #7a57b0; --sixth: #2f7fb8; --seventh: #b0477a; --eighth: #6a8f2f; --ninth: #8a6d55; }
  body { max-width: none; padding: 0; font-size: 11pt; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, table, .figure, h2, h3 { break-inside: avoid; } h2 { break-after: avoid; } .figure { border: 1px solid var(--rule); } }
`;
