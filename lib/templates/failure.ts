/** What can go wrong in a template. Names the construct; the line is added where a statement or expression is known. */

/** The template cannot be read or refuses its input. `kind` is the name that Python gives the error. */
export class TemplateFailure extends Error {
  line: number | undefined;
  /** What was being done. */
  construct: string | undefined;

  constructor(
    readonly kind: string,
    message: string,
    line?: number,
  ) {
    super(message);
    this.name = 'TemplateFailure';
    this.line = line;
  }
}

/** More work, text or nesting than a template may use. */
export class LimitReached extends TemplateFailure {
  constructor(what: string) {
    super('LimitReached', what);
  }
}

export function typeError(message: string): TemplateFailure {
  return new TemplateFailure('TypeError', message);
}

export function valueError(message: string): TemplateFailure {
  return new TemplateFailure('ValueError', message);
}

/** Something Python has that is not offered here. */
export function unsupported(construct: string): TemplateFailure {
  return new TemplateFailure('Unsupported', `${construct} is not supported`);
}
