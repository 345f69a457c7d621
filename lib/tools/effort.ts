/** How much a model is to think, as its chat template takes it. */

/** Variables of the template; undefined where it has nothing of the kind. @param effort 'none', 'low', 'high', ... */
export function effortVariables(effort: string, template: string): Record<string, unknown> | undefined {
  if (effort === 'none' && template.includes('enable_thinking')) return { enable_thinking: false };
  if (template.includes('reasoning_effort')) return { reasoning_effort: effort };
  return undefined;
}
