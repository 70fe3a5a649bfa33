import { ApiProblem } from '../../lib/api/client';
import type { Attachment } from './types';

/** Sends a file, telling how far it is; by `XMLHttpRequest`, since `fetch` does not tell. The key makes a repeated one the same. */
export function upload(file: File, key: string, progress: (part: number) => void, signal: AbortSignal): Promise<Attachment> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/api/v1/attachments');
    request.setRequestHeader('idempotency-key', key);
    request.responseType = 'json';
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => {
      const body: unknown = request.response;
      if (request.status >= 200 && request.status < 300 && body) resolve(body as Attachment);
      else reject(new ApiProblem(request.status, (body ?? {}) as Record<string, unknown>, Number(request.getResponseHeader('retry-after')) || null));
    };
    request.onerror = () => reject(ApiProblem.offline());
    request.ontimeout = () => reject(ApiProblem.offline());
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    signal.addEventListener('abort', () => request.abort());
    const form = new FormData();
    form.append('file', file, file.name);
    request.send(form);
  });
}
