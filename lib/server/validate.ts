/** Bodies checked against a schema: what is unknown is refused, or left out where the server is lenient. */
import * as v from 'valibot';
import { type Failure, invalid } from './failure.js';

/** Of a body, whose fields with null count as absent. */
export type BodySchema<T = unknown> = v.GenericSchema<unknown, T>;

/** Throws a Failure that names the first field that is wrong. */
export function checkBody<T>(schema: BodySchema<T>, body: Record<string, unknown>, lenient: boolean): T {
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  let result = v.safeParse(schema, given);
  if (!result.success && lenient && result.issues.every(isUnknownField)) {
    for (const issue of result.issues) removeAt(given, pathOf(issue));
    result = v.safeParse(schema, given);
  }
  if (result.success) return result.output;
  throw failureOfIssue(result.issues[0]);
}

type Issue = v.BaseIssue<unknown>;

/** `strictObject` reports a field that it does not know as one that may never be there. */
function isUnknownField(issue: Issue): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

const pathOf = (issue: Issue): unknown[] => (issue.path ?? []).map(({ key }) => key);

function removeAt(root: unknown, path: readonly unknown[]): void {
  let at = root as Record<string, unknown>;
  for (const key of path.slice(0, -1)) at = at[key as string] as Record<string, unknown>;
  delete at[path.at(-1) as string];
}

/** 'messages[0].content' */
function dotted(path: readonly unknown[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

function failureOfIssue(issue: Issue): Failure {
  const param = dotted(pathOf(issue));
  if (isUnknownField(issue)) {
    return invalid(`There is no option '${param}' here.`, param, 'unknown_parameter');
  }
  const what = issue.message.replace(/\p{Cc}/gu, '\uFFFD').slice(0, 300);
  return invalid(`'${param || 'the body'}': ${what}.`, param || undefined, 'invalid_value');
}
