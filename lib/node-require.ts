/**
 * Node's `createRequire`, behind a constant: webpack takes the imported name for its own, and resolves while it bundles what is
 * to be looked for where the bundle runs.
 */
import * as nodeModule from 'node:module';

export const createRequire = nodeModule.createRequire;
