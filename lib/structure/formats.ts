/** The formats of JSON Schema that are enforced, each as an expression over the string's characters. */

const day = '(0[1-9]|[12][0-9]|3[01])';
const leapYear = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)';
const date = `([0-9]{4}-((0[13578]|1[02])-${day}|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|${leapYear}-02-29)`;
const clock = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?';
const time = `${clock}(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`;
const byte = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const ipv4 = `${byte}(\\.${byte}){3}`;
const h16 = '[0-9A-Fa-f]{1,4}';
const ls32 = `(${h16}:${h16}|${ipv4})`;
const ipv6 = [
  `(${h16}:){6}${ls32}`,
  `::(${h16}:){5}${ls32}`,
  `(${h16})?::(${h16}:){4}${ls32}`,
  `((${h16}:){0,1}${h16})?::(${h16}:){3}${ls32}`,
  `((${h16}:){0,2}${h16})?::(${h16}:){2}${ls32}`,
  `((${h16}:){0,3}${h16})?::${h16}:${ls32}`,
  `((${h16}:){0,4}${h16})?::${ls32}`,
  `((${h16}:){0,5}${h16})?::${h16}`,
  `((${h16}:){0,6}${h16})?::`,
].join('|');
const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const hostname = `${label}(\\.${label}){0,3}`;
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
const percent = '%[0-9A-Fa-f]{2}';
const unreserved = `([A-Za-z0-9._~!$&'()*+,;=:@-]|${percent})`;
const path = `(/${unreserved}*)*`;
const query = `(\\?(${unreserved}|[/?])*)?(#(${unreserved}|[/?])*)?`;
const authority = `//${hostname}(:[0-9]{1,5})?`;
const scheme = '[A-Za-z][A-Za-z0-9+.-]*';
const relative = `(${authority}${path}|/(${unreserved}+(/${unreserved}*)*)?|(${unreserved.replace(':', '')}+(/${unreserved}*)*)?)`;

export const formats: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `${date}[Tt]${time}`,
  duration:
    'P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))?' +
    '|T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))',
  uuid: '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}',
  email: `${atom}(\\.${atom}){0,2}@${label}(\\.${label}){1,3}`,
  ipv4,
  ipv6,
  hostname,
  uri: `${scheme}:(${authority}${path}|/?${unreserved}+${path})${query}`,
  'uri-reference': `(${scheme}:(${authority}${path}|/?${unreserved}+${path})|${relative})${query}`,
  'json-pointer': '(/([^~/]|~[01])*)*',
};

/** OpenAPI's formats of integers, as bounds; those of numbers say how they are kept, not what they are. */
export const integerFormats: Readonly<Record<string, readonly [least: number, most: number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
  uint32: [0, 2 ** 32 - 1],
};
export const numberFormats: readonly string[] = ['float', 'double'];
