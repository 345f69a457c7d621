export function fetchOpenAiClient(): Promise<string>;
