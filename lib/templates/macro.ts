/** Macros: how their arguments find their parameters. */
import { typeError } from './failure.js';
import type { MacroBody } from './nodes.js';
import { Text } from './text.js';
import { type Arguments, Callable, Dict, orElse, Tuple, Undefined, type Value } from './values.js';

/** Values of a macro's parameters; undefined where the default is to be taken. */
export interface MacroArguments {
  parameters: (Value | undefined)[];
  /** caller, kwargs and varargs, where its body looks at them. */
  extra: Map<string, Value>;
}

export class Macro extends Callable {
  override readonly typeName = 'Macro';
  constructor(
    readonly macro: MacroBody,
    run: (given: MacroArguments) => Value,
  ) {
    super(macro.name, (given) => run(bind(macro, given)));
  }

  override attribute(name: string): Value | undefined {
    const { parameters, uses } = this.macro;
    switch (name) {
      case 'name':
        return Text.of(this.name);
      case 'arguments':
        return new Tuple(parameters.map((parameter) => Text.of(parameter.name)));
      case 'catch_kwargs':
        return uses.has('kwargs');
      case 'catch_varargs':
        return uses.has('varargs');
      case 'caller':
        return uses.has('caller');
      default:
        return undefined;
    }
  }
}

function bind(macro: MacroBody, given: Arguments): MacroArguments {
  const { name, uses } = macro;
  const named = new Map(given.named);
  const parameters = macro.parameters.map((parameter, i): Value | undefined => {
    if (i < given.positional.length) return given.positional[i];
    const value = named.get(parameter.name);
    named.delete(parameter.name);
    return value;
  });
  const extra = new Map<string, Value>();
  const explicit = macro.parameters.some((parameter) => parameter.name === 'caller');
  if (uses.has('caller') && !explicit) {
    extra.set('caller', orElse(named.get('caller'), new Undefined('No caller defined')));
    named.delete('caller');
  }
  if (uses.has('kwargs')) {
    extra.set('kwargs', new Dict([...named].map(([key, value]): [Value, Value] => [Text.of(key), value])));
  } else if (named.size > 0) {
    throw typeError(`macro '${name}' takes no keyword argument '${[...named.keys()][0]}'`);
  }
  const rest = given.positional.slice(macro.parameters.length);
  if (uses.has('varargs')) extra.set('varargs', new Tuple(rest));
  else if (rest.length > 0) {
    throw typeError(`macro '${name}' takes not more than ${macro.parameters.length} argument(s)`);
  }
  return { parameters, extra };
}
