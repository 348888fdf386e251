/** Sending a scan and following its job until the service has prepared it. */

import { errorOf, jobEvents, readJob, uploadsUrl, writingHeaders } from "./client";
import type { Job, StartedJob } from "./bodies";

/**
 * Send a file; fetch cannot tell how far it is, XMLHttpRequest can. Rejects when aborted on the way;
 * once all is sent the service has a job, which the caller must then cancel by its name.
 */
export function sendScan(
  file: Blob,
  name: string,
  onProgress: (share: number) => void,
  abort: AbortSignal,
  series: number | null = null,
): Promise<Job> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", uploadsUrl(series));
    for (const [key, value] of Object.entries(writingHeaders())) request.setRequestHeader(key, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-Filename", encodeURIComponent(name));
    let allSent = false;
    request.upload.onload = () => {
      allSent = true;
    };
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status === 202 || request.status === 200) {
        resolve({
          state: "queued", stage: "queued", progress: 0, message: "", notes: [], series: [], view_mm: null,
          ...(JSON.parse(request.responseText) as StartedJob),
        });
      } else reject(errorOf(request.status, request.responseText));
    };
    request.onerror = () => reject(errorOf(0, ""));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    abort.addEventListener("abort", () => {
      if (!allSent) request.abort();
    });
    request.send(file);
  });
}

const isOver = (job: Job): boolean => job.state !== "queued" && job.state !== "running";

/** Follow a job by server-sent events; where a proxy swallows those, by asking every second. */
export function followJob(
  id: string,
  onChange: (job: Job) => void,
  abort: AbortSignal,
): Promise<Job> {
  return new Promise((resolve, reject) => {
    const events = new EventSource(jobEvents(id));
    let poll = 0;
    const stop = (): void => {
      events.close();
      clearInterval(poll);
    };
    const see = (job: Job): void => {
      onChange(job);
      if (isOver(job)) {
        stop();
        resolve(job);
      }
    };
    const askAgain = (): void => {
      readJob(id).then(see, (error: unknown) => {
        stop();
        reject(error as Error);
      });
    };
    events.addEventListener("job", (event: MessageEvent<string>) => see(JSON.parse(event.data) as Job));
    events.onerror = () => {
      events.close();
      if (!poll && !abort.aborted) poll = window.setInterval(askAgain, 1000);
    };
    abort.addEventListener("abort", () => {
      stop();
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
