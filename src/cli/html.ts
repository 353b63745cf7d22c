import { harmlessBlock } from '../model/shown-text.js';

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** A piece of HTML that is safe to put into a page. */
export class Html {
  readonly text: string;

  /** @param text markup, with all that came from elsewhere escaped */
  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | bigint | Html | readonly Html[];

/** Markup with values put in: text is escaped, for elements and for quoted attributes alike. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(parts.map((part, i) => part + (i < values.length ? render(values[i] as Value) : '')).join(''));
}

export const NOTHING: Html = new Html('');

function render(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return harmlessBlock(String(value)).replace(/[&<>"']/g, (character) => ESCAPES[character] as string);
}
