/** The live page: sends a text to the server, shows its trace, and asks for what the page does not hold of a token. */

/** @typedef {HTMLFormElement & { elements: { model: HTMLInputElement, prompt: HTMLTextAreaElement, generate: HTMLInputElement, key: HTMLInputElement } }} Ask */

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {Ask} */ (find('ask'));
const given = new URLSearchParams(location.search);
for (const name of /** @type {const} */ (['model', 'prompt', 'generate'])) {
  const value = given.get(name);
  if (value !== null) form.elements[name].value = value;
}

/** @param {string} text */
function say(text) {
  find('said').textContent = text;
}

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function post(path, body) {
  /** @type {Record<string, string>} */
  const headers = { 'content-type': 'application/json' };
  const key = form.elements.key.value;
  if (key !== '') headers.authorization = `Bearer ${key}`;
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error?.message ?? `The server answers ${response.status}.`);
  return answer;
}

/** @param {any} answer @param {{ model?: string }} model */
function show({ data, values, title, facts }, model) {
  const tokens = data.tokens.map((/** @type {{ id: number }} */ token) => token.id);
  /** @type {any} */ (globalThis).rowsOfTrace = (
    /** @type {number} */ position,
    /** @type {string} */ kind,
  ) => {
    say(`Asking for token ${position} ...`);
    return post('v1/inspect/rows', { ...model, tokens, position, kind }).then(
      (rows) => {
        say('');
        return rows;
      },
      (error) => say(error.message),
    );
  };
  find('data').textContent = JSON.stringify(data);
  find('values').textContent = values;
  document.title = title;
  find('title').textContent = title;
  find('facts').textContent = facts;
  find('again').hidden = false;
  form.hidden = true;
  /** @type {any} */ (globalThis).showTrace();
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { model, prompt, generate } = form.elements;
  const named = model.value === '' ? {} : { model: model.value };
  const positions = given.get('positions');
  const body = {
    ...named,
    prompt: prompt.value,
    ...(generate.value === '' ? {} : { generate: Number(generate.value) }),
    ...(positions === null ? {} : { positions: positions.split(',').map(Number) }),
  };
  const button = /** @type {HTMLButtonElement} */ (find('send'));
  button.disabled = true;
  say('Tracing ...');
  try {
    const answer = await post('v1/inspect', body);
    say('');
    show(answer, named);
  } catch (error) {
    say(/** @type {Error} */ (error).message);
  }
  button.disabled = false;
});
find('again').addEventListener('click', () => location.reload());
