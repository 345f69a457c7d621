/** Whether the system counts how long each thread ran: what tests of callbacks go by. */
import { existsSync } from 'node:fs';

export const hasThreadClock = existsSync('/proc/self/schedstat');
