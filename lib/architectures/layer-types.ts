/** The type of each layer, as `layer_types` of config.json has it. */
import { unsupported } from '../config-schema.js';
import { KvasirError } from '../errors.js';

/**
 * Throws MODEL_FORMAT where they are of another number of layers, UNSUPPORTED_ARCHITECTURE for a type that is not
 * known.
 */
export function layerTypesOf<Type extends string>(
  family: string,
  config: { layer_types?: readonly string[] | null; num_hidden_layers: number },
  known: readonly Type[],
  otherwise: (layer: number) => Type,
): (layer: number) => Type {
  const { layer_types: types, num_hidden_layers: layers } = config;
  if (!types) return otherwise;
  if (types.length !== layers) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `config.json cannot be used. layer_types names ${types.length} layers, but num_hidden_layers is ${layers}.`,
    );
  }
  const other = types.find((type) => !(known as readonly string[]).includes(type));
  if (other !== undefined) throw unsupported(family, `layers of the type "${other}"`);
  return (layer) => types[layer] as Type;
}
