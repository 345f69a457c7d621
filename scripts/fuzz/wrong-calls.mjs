// Public calls with wrong things. Each must end with a KvasirError: thrown by what returns a value, as a rejection by what
// returns a promise.
import {
  wrongId,
  wrongIds,
  wrongMessages,
  wrongOptions,
  wrongPrompt,
  wrongText,
  wrongValue,
} from './wrong-values.mjs';

const generateNames = [
  ...['maxTokens', 'temperature', 'topK', 'topP', 'minP', 'typicalP', 'repetitionPenalty', 'presencePenalty'],
  ...['frequencyPenalty', 'logitBias', 'seed', 'stop', 'ignoreEos', 'logprobs', 'responseFormat', 'signal'],
  ...['tools', 'toolChoice', 'toolFormat', 'reasoning', 'processLogits', 'guard'],
  ...['topNSigma', 'xtcProbability', 'xtcThreshold', 'dynatempRange', 'dynatempExponent'],
  ...['mirostat', 'mirostatTau', 'mirostatEta', 'samplers', 'dryMultiplier', 'dryBase', 'dryAllowedLength'],
  ...['dryPenaltyLastN', 'drySequenceBreakers', 'badWords', 'minTokens', 'noRepeatNgram'],
  ...['n', 'bestOf', 'beams', 'lengthPenalty', 'earlyStopping', 'adapter', 'speculate'],
];
const loadNames = [
  'device',
  'gpuLayers',
  'dtype',
  'keepFp32',
  'kvDtype',
  'contextLength',
  'kvCapacity',
  'threads',
];
const compareNames = [
  'a',
  'b',
  'text',
  'windows',
  'promptLengths',
  'decodeTokens',
  'latency',
  'onProgress',
  'signal',
];
const embedNames = ['pooling', 'normalize', 'dimensions', 'overflow', 'adapter', 'onProgress', 'signal'];
// Not `folder`: a wrong text may be a path that can be made.
const traceNames = [
  ...['layers', 'heads', 'tokens', 'tensors', 'lens', 'generate', 'sampling', 'predictions', 'timeline'],
  ...['attribute', 'interventions', 'neighbours', 'signal'],
];
const chatNames = ['tools', 'documents', 'addGenerationPrompt', 'variables'];
const runToolsNames = ['maxRounds', 'toolTimeoutMs', 'onChunk', 'signal', 'toolChoice', 'temperature'];
const packNames = ['maxTokens', 'cut', 'instruction', 'signal'];
const runnable = { name: 'a', execute: () => 'b' };
const hello = [{ role: 'user', content: 'Hello' }];
const embedded = 'stories-260k';

/**
 * @param library what the package exports
 * @returns calls by name: those that throw, and those that return promises
 */
export function wrongCalls(library, model, session) {
  const { Model, Tokenizer, ChatSession, compare, comparisonPage, createHandler } = library;
  const others = [wrongVectorCalls(library), wrongFrameworkCalls(library, model)];
  const { tokenizer } = model;
  const { vocabSize } = tokenizer;
  const decoder = tokenizer.createStreamingDecoder();
  const throwing = {
    encode: (r) => tokenizer.encode(wrongText(r)),
    encodeOptions: (r) => tokenizer.encode('a', wrongOptions(r, ['addSpecialTokens'])),
    decode: (r) => tokenizer.decode(wrongIds(r, vocabSize)),
    decodeOptions: (r) => tokenizer.decode([1], wrongOptions(r, ['skipSpecialTokens'])),
    tokenText: (r) => tokenizer.tokenText(wrongId(r, vocabSize)),
    tokenBytes: (r) => tokenizer.tokenBytes(wrongId(r, vocabSize)),
    isSpecial: (r) => tokenizer.isSpecial(wrongId(r, vocabSize)),
    createStreamingDecoder: (r) =>
      tokenizer.createStreamingDecoder(wrongOptions(r, ['skipSpecialTokens', 'after'])),
    push: (r) => decoder.push(wrongId(r, vocabSize)),
    applyChatTemplate: (r) => tokenizer.applyChatTemplate(wrongMessages(r)),
    applyChatTemplateOptions: (r) => tokenizer.applyChatTemplate(hello, wrongOptions(r, chatNames)),
    createSession: (r) => model.createSession(wrongOptions(r, ['system', 'tools', 'messages', 'adapter'])),
    createHandler: (r) => createHandler(wrongOptions(r, ['keys', 'limits', 'lenient', 'log', 'pingMs'])),
    newModel: (r) => new Model(wrongValue(r), wrongValue(r)),
    newTokenizer: (r) => new Tokenizer(wrongValue(r), wrongValue(r)),
    newSession: (r) => new ChatSession(r.chance(0.5) ? undefined : wrongValue(r), wrongValue(r)),
  };
  const rejecting = {
    load: (r) => Model.load(wrongText(r)),
    loadOptions: (r) => Model.load(embedded, wrongOptions(r, [...loadNames, 'onProgress', 'signal'])),
    loadTokenizer: (r) => Tokenizer.load(wrongValue(r)),
    loadTokenizerOptions: (r) => Tokenizer.load({ kind: 'gguf', path: '/none' }, wrongOptions(r, ['signal'])),
    loadTokenizerPath: (r) => Tokenizer.load({ kind: 'tokenizer-json', path: wrongText(r) }),
    generate: (r) => model.generate(wrongPrompt(r)),
    generateOptions: (r) => model.generate('a', wrongOptions(r, generateNames)),
    send: (r) => (r.chance(0.5) ? session.edit(0, wrongText(r)) : session.send(wrongText(r))),
    sendOptions: (r) => session.send('a', wrongOptions(r, generateNames)),
    iterate: (r) => model.generate(wrongPrompt(r))[Symbol.asyncIterator]().next(),
    score: (r) => model.score(r.chance(0.3) ? Int32Array.of(1, 1e9) : wrongText(r)),
    scoreOptions: (r) => model.score('a b c', wrongOptions(r, ['adapter', 'signal'])),
    encodeAsync: (r) => tokenizer.encodeAsync(wrongText(r)),
    encodeAsyncOptions: (r) => tokenizer.encodeAsync('a', wrongOptions(r, ['addSpecialTokens', 'signal'])),
    count: (r) => tokenizer.count(wrongText(r)),
    countOptions: (r) => tokenizer.count('a', wrongOptions(r, ['addSpecialTokens', 'signal'])),
    applyChatTemplateAsync: (r) => tokenizer.applyChatTemplateAsync(wrongMessages(r)),
    applyChatTemplateAsyncOptions: (r) =>
      tokenizer.applyChatTemplateAsync(hello, wrongOptions(r, [...chatNames, 'signal'])),
    encodeChat: (r) => tokenizer.encodeChat(wrongMessages(r)),
    encodeChatOptions: (r) => tokenizer.encodeChat(hello, wrongOptions(r, [...chatNames, 'signal'])),
    embed: (r) => model.embed(['a', wrongText(r)]),
    embedTokens: (r) => model.embedTokens(wrongText(r)),
    embedTokensOptions: (r) => model.embedTokens('a', wrongOptions(r, ['normalize', 'signal'])),
    embedOptions: (r) => model.embed('a', wrongOptions(r, embedNames)),
    decide: (r) => model.decide(wrongPrompt(r), { boolean: true }),
    ...wrongToolCalls(library, model, session),
    decideOptions: (r) => model.decide('a', wrongOptions(r, ['choices', 'score', 'adapter', 'signal'])),
    trace: (r) => model.trace(wrongPrompt(r)),
    traceOptions: (r) => model.trace('a', wrongOptions(r, traceNames)),
    compare: (r) => compare(wrongText(r)),
    compareOptions: (r) => compare(embedded, wrongOptions(r, compareNames)),
    comparisonPage: (r) => comparisonPage(wrongValue(r)),
  };
  return {
    throwing: Object.assign(throwing, ...others.map((one) => one.throwing)),
    rejecting: Object.assign(rejecting, wrongClassifyCalls(model), ...others.map((one) => one.rejecting)),
  };
}

/** Those of classifiers and rerankers, by a model that is neither, and of token tables; they return promises. */
function wrongClassifyCalls(model) {
  return {
    classify: (r) => model.classify(['a', wrongText(r)]),
    classifyOptions: (r) => model.classify('a', wrongOptions(r, ['topK', 'aggregation', 'signal'])),
    rerank: (r) => model.rerank(r.chance(0.5) ? 'a' : wrongText(r), ['a', wrongText(r)]),
    tokenVectorsOptions: (r) => model.tokenVectors(wrongOptions(r, ['threads', 'signal'])),
    rerankOptions: (r) => model.rerank('a', ['b'], wrongOptions(r, ['topK', 'signal'])),
    encodePair: (r) => model.tokenizer.encodePair('a', wrongText(r)),
  };
}

/** Of files that a model reads, and of those of sessions. */
function wrongFileCalls(model, session) {
  return {
    loadAdapter: (r) => model.loadAdapter(wrongText(r)),
    saveSession: (r) => {
      const path = wrongText(r);
      return session.save(typeof path === 'string' ? '' : path);
    },
    restoreSession: (r) => model.restoreSession(wrongText(r)),
    restoreSessionOptions: (r) => model.restoreSession('/none', wrongOptions(r, ['overflow', 'adapter'])),
  };
}

/** Of the loop over tools, of passages and of files. */
function wrongToolCalls({ packPassages }, model, session) {
  const { tokenizer } = model;
  return {
    ...wrongFileCalls(model, session),
    runTools: (r) => model.runTools(wrongMessages(r), [runnable]),
    runToolsTools: (r) => model.runTools(hello, [wrongValue(r)]),
    runToolsOptions: (r) => model.runTools(hello, [runnable], wrongOptions(r, runToolsNames)),
    packPassages: (r) => packPassages(tokenizer, [wrongText(r) ?? 5], { maxTokens: 50 }),
    packPassagesOptions: (r) => packPassages(tokenizer, ['a'], wrongOptions(r, packNames)),
  };
}

/** Of the models for frameworks. */
function wrongFrameworkCalls(library, model) {
  const { ChatKvasir, createKvasir, kvasir, KvasirEmbeddings, KvasirReranker } = library;
  const names = generateNames.filter(
    (name) => !['signal', 'tools', 'toolChoice', 'stop', 'n'].includes(name),
  );
  const prompt = [{ role: 'user', content: [{ type: 'text', text: 'a' }] }];
  const given = (r, options) => ({ prompt, providerOptions: { kvasir: wrongOptions(r, options) } });
  const throwing = {
    kvasir: (r) => kvasir(wrongValue(r)),
    kvasirSettings: (r) => kvasir(model, wrongOptions(r, [...names, 'templateVariables'])),
    kvasirEmbedding: (r) => kvasir.embeddingModel(wrongValue(r)),
    kvasirReranking: (r) => kvasir.rerankingModel(wrongValue(r)),
    kvasirDecision: (r) => kvasir.decisionModel(wrongValue(r)),
    createKvasir: (r) => createKvasir({ a: wrongValue(r) }),
    newChatKvasir: (r) => new ChatKvasir(r.chance(0.5) ? wrongValue(r) : { model: wrongValue(r) }),
    newChatKvasirSettings: (r) => new ChatKvasir({ model, templateVariables: () => r }),
    newKvasirEmbeddings: (r) =>
      new KvasirEmbeddings(r.chance(0.5) ? wrongValue(r) : { model: wrongValue(r) }),
    newKvasirReranker: (r) => new KvasirReranker(r.chance(0.5) ? wrongValue(r) : { model: wrongValue(r) }),
  };
  const rejecting = {
    kvasirGenerate: (r) => kvasir(model).doGenerate(given(r, names)),
    kvasirStream: (r) => kvasir(model).doStream(given(r, names)),
    kvasirEmbed: (r) =>
      kvasir
        .embeddingModel(model)
        .doEmbed({ values: ['a'], ...given(r, ['pooling', 'normalize', 'overflow']) }),
  };
  return { throwing, rejecting };
}

/** The same of vectors, which need no model. */
function wrongVectorCalls({ VectorIndex, WordVectors, similarity, staticVectors }) {
  const index = new VectorIndex(3);
  const throwing = {
    similarity: (r) => similarity([1, 2], wrongValue(r)),
    newVectorIndex: (r) => new VectorIndex(r.chance(0.5) ? 3 : wrongValue(r), wrongOptions(r, ['threads'])),
    newWordVectors: (r) => new WordVectors(wrongValue(r), wrongValue(r)),
  };
  const rejecting = {
    addVectors: (r) => index.add([[1, 2, 3], wrongValue(r)]),
    addIds: (r) => index.add([[1, 2, 3]], [wrongValue(r)]),
    searchVectors: (r) => index.search(wrongValue(r)),
    searchOptions: (r) => index.search([1, 2, 3], wrongValue(r), wrongOptions(r, ['signal'])),
    saveVectors: (r) => {
      const path = wrongText(r);
      return index.save(typeof path === 'string' ? '' : path);
    },
    loadVectors: (r) => VectorIndex.load(wrongText(r)),
    loadVectorsOptions: (r) => VectorIndex.load('/none', wrongOptions(r, ['threads'])),
    staticVectors: (r) => staticVectors(wrongText(r)),
    staticVectorsOptions: (r) => staticVectors('/none', wrongOptions(r, ['limit', 'threads', 'signal'])),
  };
  return { throwing, rejecting };
}

const longestMessage = 2100;

/** What is wrong with an error that should be a KvasirError; undefined: nothing. */
function faultOf(error, KvasirError) {
  if (!(error instanceof KvasirError)) return `no KvasirError: ${error?.stack ?? String(error)}`;
  if (error.code === 'INTERNAL') return `INTERNAL: ${error.stack}`;
  if (error.message.length > longestMessage) return `a message of ${error.message.length} characters`;
  if (JSON.stringify(error.details).length > longestMessage) return 'long details';
  return undefined;
}

/** Makes one call. @returns what is wrong with how it ended; undefined: nothing */
export async function judgeCall({ throwing, rejecting }, name, random, KvasirError) {
  const throws = name in throwing;
  let returned;
  try {
    returned = (throws ? throwing : rejecting)[name](random);
  } catch (error) {
    return throws ? faultOf(error, KvasirError) : `threw instead of rejecting: ${error?.stack}`;
  }
  if (throws) return 'took it';
  try {
    await returned;
  } catch (error) {
    return faultOf(error, KvasirError);
  }
  return 'took it';
}
