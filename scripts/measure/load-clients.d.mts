export interface Counts {
  asked: number;
  answered: number;
  refused: number;
  events: number;
  tokens: number;
  faults: string[];
}
export function runClients(load: {
  address: string;
  clients: number;
  until: () => boolean;
  mostTokens?: number;
  pauseMs?: number;
}): Promise<Counts>;
