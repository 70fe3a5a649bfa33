/** One event of a stream of Server-Sent Events. */
export interface SseEvent {
  id: string | null;
  event: string;
  data: string;
}

/** Takes text as it comes, in any pieces, and gives the events that are whole. By the HTML standard's rules. */
export class SseParser {
  /** Where the daemon said that the stream begins; null until then. */
  position: number | null = null;
  #rest = '';
  #id: string | null = null;
  #event = '';
  #data: string[] = [];

  push(text: string): SseEvent[] {
    const found: SseEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) {
          found.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') });
        }
        this.#id = null;
        this.#event = '';
        this.#data = [];
        continue;
      }
      if (line.startsWith(':')) {
        const position = /^: position (\d+)$/.exec(line)?.[1];
        if (position !== undefined) this.position = Number(position);
        continue;
      }
      const colon = line.indexOf(':');
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'data') this.#data.push(value);
      else if (name === 'event') this.#event = value;
      else if (name === 'id' && !value.includes('\0')) this.#id = value;
    }
    return found;
  }
}
