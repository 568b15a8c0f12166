// Asking the admin port. Addresses are relative, so that the page works behind a prefix or a forwarded port.

const PATIENCE_MS = 5000;

/** The port answered with an error, or not at all. `status` is 0 when nobody answered. */
export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** JSON of a path; null for an answer without a body. Throws Failed. */
export async function ask(path, { method = "GET", body } = {}) {
  const sent = { method, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) Object.assign(sent, { body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  let answer;
  let text;
  try {
    answer = await fetch(path, sent);
    text = await answer.text();
  } catch (error) {
    throw new Failed(0, error.name === "TimeoutError" ? "no answer within 5 s" : "nobody answers");
  }
  const value = parsed(text);
  if (answer.ok) return value;
  throw new Failed(answer.status, value?.error?.message ?? `${answer.status} ${text.slice(0, 200)}`.trim());
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** The words that mean something else behind /pins/. */
const TAKEN = new Set(["export", "import", "move"]);

/** A session's pin, as /pins has it. Throws Failed, with status 404 when there is none. */
export async function pinOf(session) {
  if (!TAKEN.has(session)) return ask(pinPath(session));
  const { pins } = await ask(`pins?session_id=${session}`);
  if (pins.length === 0) throw new Failed(404, "no pin");
  return pins[0];
}

/** The path of a session's pin. Throws Failed for the two ids that an address cannot carry. */
export function pinPath(session) {
  if (session === "." || session === "..") throw new Failed(400, `A session called "${session}" cannot be asked for by address.`);
  return `pins/${encodeURIComponent(session)}`;
}
