/** The Chromium of this machine, for tests that look at a page as a person would. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executable = process.env.CHROMIUM ?? places.find((path) => existsSync(path));

export const hasChromium = executable !== undefined;
/** Titles of test groups that need it: a skipped one says what is missing. */
export const needsChromium = hasChromium ? '' : ' [skipped: no Chromium here, apt-get install chromium]';

export function startChromium(): Promise<Browser> {
  // The tests may run as root, where Chromium has no sandbox; the page is our own.
  return chromium.launch({ executablePath: executable, args: ['--no-sandbox'] });
}
