/** The page: one conversation, answered by one model, or by two side by side. */
import { AnswerView } from './answer-view.js';
import { byId, element } from './elements.js';
import { type ModelEntry, Server } from './events.js';
import { Settings } from './sampling.js';
import { ServerView } from './server-view.js';

type Message = { role: string; content: string; tool_call_id?: string };

const server = new Server();
const settings = new Settings((key) => {
  server.key = key;
});
const log = byId('log');
const prompt = byId<HTMLTextAreaElement>('prompt');
const send = byId<HTMLButtonElement>('send');
const stop = byId<HTMLButtonElement>('stop');
const again = byId<HTMLButtonElement>('again');
const problem = byId('problem');
const announce = byId('announce');
const model = byId<HTMLSelectElement>('model');
const beside = byId<HTMLSelectElement>('beside');

/** What the model of the first column, and the one beside it, has been told and has answered. */
let histories: [Message[], Message[]] = [[], []];
let running: AbortController | undefined;
/** Asks once more for the last answers. */
let repeat: (() => void) | undefined;

function showModels(models: readonly ModelEntry[]): void {
  fill(model, models, []);
  fill(beside, models, [element('option', { value: '' }, 'nothing')]);
}

/** Keeps what is chosen, and leaves an open list alone. */
function fill(select: HTMLSelectElement, models: readonly ModelEntry[], first: HTMLOptionElement[]): void {
  const labels = models.map(({ id, dtype }) => (dtype ? `${id} (${dtype.toUpperCase()})` : id));
  const key = labels.join('\n');
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  const { value } = select;
  select.replaceChildren(
    ...first,
    ...models.map(({ id }, i) => element('option', { value: id }, labels[i] ?? id)),
  );
  if (models.some(({ id }) => id === value)) select.value = value;
}

new ServerView(server, showModels);

function bodyOf(modelId: string, messages: readonly Message[]): object {
  const system = settings.system === '' ? [] : [{ role: 'system', content: settings.system }];
  const tools = settings.tools();
  return {
    model: modelId,
    messages: [...system, ...messages],
    stream: true,
    stream_options: { include_usage: true },
    ...settings.sampling(),
    ...(settings.wantsLogprobs ? { logprobs: true, top_logprobs: 5 } : {}),
    ...(tools ? { tools } : {}),
  };
}

/** One column: the answer, added to its history unless it failed before it began. */
async function answer(
  modelId: string,
  history: Message[],
  into: HTMLElement,
  signal: AbortSignal,
): Promise<AnswerView> {
  const answerView = new AnswerView(modelId);
  into.append(answerView.root);
  try {
    for await (const event of server.chat(bodyOf(modelId, history), signal)) {
      answerView.take(event);
      followEnd();
    }
    answerView.end();
  } catch (error) {
    const stopped = signal.aborted;
    answerView.end(stopped ? 'Stopped.' : undefined);
    if (!stopped) showProblem(`${modelId}: ${(error as Error).message}`);
  }
  if (answerView.text !== '' || answerView.calls.length > 0) history.push(answerView.message());
  return answerView;
}

/** Scrolls along while the reader is at the end. */
function followEnd(): void {
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 120) log.scrollTop = log.scrollHeight;
}

function showProblem(text: string): void {
  problem.textContent = text;
  problem.hidden = false;
}

async function ask(): Promise<void> {
  const other = beside.value;
  const columns = other === '' ? [model.value] : [model.value, other];
  const before = histories.map((history) => [...history]) as typeof histories;
  const controller = new AbortController();
  running = controller;
  setRunning(true);
  const row = element('div', { class: columns.length > 1 ? 'turn pair' : '' });
  log.append(row);
  const answers = await Promise.all(
    columns.map((id, i) => answer(id, histories[i as 0 | 1], row, controller.signal)),
  );
  if (columns.length === 1) histories[1] = [...histories[0]];
  running = undefined;
  setRunning(false);
  // Another chat has begun meanwhile.
  if (!row.isConnected) return;
  announce.textContent = `Answer: ${answers[0]?.text ?? ''}`;
  repeat = () => {
    row.remove();
    histories = before;
    void ask();
  };
  const [first] = answers;
  if (answers.length === 1 && first && first.calls.length > 0 && !controller.signal.aborted) askTools(first);
}

/** The user plays the tools. */
function askTools(answered: AnswerView): void {
  answered.askResults((results) => {
    const told = answered.calls.map(({ id }, i) => ({
      role: 'tool',
      tool_call_id: id,
      content: results[i] ?? '',
    }));
    histories[0].push(...told);
    histories[1] = [...histories[0]];
    void ask();
  });
}

function setRunning(isRunning: boolean): void {
  send.disabled = isRunning;
  stop.disabled = !isRunning;
  again.disabled = isRunning;
  log.setAttribute('aria-busy', String(isRunning));
}

function submit(): void {
  const text = prompt.value;
  if (text.trim() === '' || running !== undefined) return;
  problem.hidden = true;
  prompt.value = '';
  for (const history of histories) history.push({ role: 'user', content: text });
  const turn = element(
    'article',
    { class: 'turn user' },
    element('h3', {}, 'You'),
    element('div', { class: 'body' }, text),
  );
  log.append(turn);
  log.scrollTop = log.scrollHeight;
  void ask();
}

byId('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  submit();
});
prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') running?.abort();
});
stop.addEventListener('click', () => {
  running?.abort();
  prompt.focus();
});
again.addEventListener('click', () => repeat?.());
byId('new-chat').addEventListener('click', () => {
  running?.abort();
  histories = [[], []];
  repeat = undefined;
  again.disabled = true;
  problem.hidden = true;
  log.replaceChildren();
  prompt.focus();
});
byId('settings').addEventListener('submit', (event) => event.preventDefault());
byId('toggle-panel').addEventListener('click', ({ currentTarget }) => {
  const open = document.body.classList.toggle('panel-open');
  (currentTarget as HTMLElement).setAttribute('aria-expanded', String(open));
});
